package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVariable makes the test binary the program itself, so that tests have a
// real process to kill.
const childVariable = "CONTESTD_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m,
		// scs.New starts it for the store that we replace, and offers no safe way to end it.
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}
