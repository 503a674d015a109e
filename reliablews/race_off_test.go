//go:build !race

package reliablews

const underRace = false // the race detector is at work
