package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		for range 2 {
			if !g.enter() {
				t.Fatal("an open gate lets nobody in")
			}
		}
		closed := make(chan error, 1)
		go func() { closed <- g.close(context.Background()) }()
		synctest.Wait()
		if g.enter() {
			t.Error("a closed gate lets writes in")
		}
		g.leave()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("close did not wait for the last write")
		default:
		}
		g.leave()
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})

	var busy gate
	busy.enter()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := busy.close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
