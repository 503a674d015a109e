package uploads_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/contestkit/contestkit/uploads"
)

func TestBudgetServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uploads.NewBudget(10)
		order := make(chan string, 3)
		take := func(name string, n int64) {
			go func() {
				if err := b.Take(t.Context(), n); err != nil {
					t.Error(err)
				}
				order <- name
			}()
			synctest.Wait()
		}
		take("first", 6)
		take("large", 8)
		take("small", 1) // would fit, but does not overtake
		if used, waiting := b.Load(); used != 6 || waiting != 2 {
			t.Errorf("got %d used and %d waiting, want 6 and 2", used, waiting)
		}
		b.Give(6)
		synctest.Wait()
		if used, waiting := b.Load(); used != 9 || waiting != 0 {
			t.Errorf("got %d used and %d waiting, want 9 and 0", used, waiting)
		}
		b.Give(8)
		b.Give(1)
		if used, _ := b.Load(); used != 0 || len(order) != 3 {
			t.Errorf("got %d used and %d served, want 0 and 3", used, len(order))
		}
	})
}

func TestBudgetForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uploads.NewBudget(10)
		if err := b.Take(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp, served := make(chan error, 1), make(chan error, 1)
		go func() { gaveUp <- b.Take(ctx, 8) }()
		synctest.Wait()
		go func() { served <- b.Take(t.Context(), 4) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if err := <-served; err != nil { // who waited behind it fits now
			t.Error(err)
		}
		if used, waiting := b.Load(); used != 10 || waiting != 0 {
			t.Errorf("got %d used and %d waiting, want 10 and 0", used, waiting)
		}
	})
}
