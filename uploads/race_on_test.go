//go:build race

package uploads_test

const underRace = true // the race detector is at work
