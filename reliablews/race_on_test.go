//go:build race

package reliablews

const underRace = true // the race detector is at work
