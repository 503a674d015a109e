//go:build !race

package uploads_test

const underRace = false // the race detector is at work
