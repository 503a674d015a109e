package contest

import "fmt"

// Apply folds an event into the state. It is deterministic. An error leaves
// the state as it was: the event does not fit, because the log is damaged or
// the event was not decided on this state.
func Apply(s *State, e Event) error {
	c, err := e.only()
	if err != nil {
		return err
	}
	if err := c.apply(s); err != nil {
		return fmt.Errorf("contest: apply %s: %w", c.kind, err)
	}
	// By the event's time, so that replay forgets what live forgot.
	s.forget(c.at)
	return nil
}
