// Package contest holds the rules of a live photo contest as pure functions.
//
// A [State] is the contest at one moment. A command, such as [Submit], asks
// for a change; the method of the same name answers with the events that make
// it, or with an error and no event. [Apply] folds an event into a state:
//
//	events, err := state.Submit(contest.Submit{...}) // decides, changes nothing
//	for _, event := range events {
//		err = contest.Apply(state, event) // changes
//	}
//
// What may be shown to whom is decided here as well: public.go makes what a
// stranger may see, staff.go what the organiser sees.
//
// # Promises
//
//   - No I/O, clock, randomness or goroutine: the same calls give the same
//     result for ever. Times and ids come in with the command.
//   - An event that was once written decodes and applies for ever
//     (testdata/events).
//   - A refused command and a refused event change nothing.
//   - [State.Clone] costs the same for ten entries and for ten million, and
//     neither copy ever changes the other.
//   - Name and phone of an entrant are in no public value.
//
// # Not promised
//
// A State is not safe for changing it from several goroutines, nor for reading
// while it changes. Reading and cloning a state that no longer changes is safe
// from any number of them.
package contest
