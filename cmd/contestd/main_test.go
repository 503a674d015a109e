package main

import (
	"os"
	"testing"

	"github.com/contestkit/contestkit/internal/browser"
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
	for _, name := range []string{"CLOUDINARY_URL", "CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET", "PHOTOS_FROM_CLOUD"} {
		os.Unsetenv(name) // the developer's own account is not for tests
	}
	goleak.VerifyTestMain(browser.Main{M: m},
		// scs.New starts it for the store that we replace, and offers no safe way to end it.
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}
