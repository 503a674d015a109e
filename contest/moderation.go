package contest

// Hide takes an entry off every public page. Only the organiser sees it, with
// the reason. It stops being a winner.
type Hide struct {
	Meta
	Entry  EntryID
	Reason string // optional, at most 280 characters
}

// Unhide shows a hidden entry again. It does not win again by that.
type Unhide struct {
	Meta
	Entry EntryID
}

// Hidden is an entry taken off the public pages.
type Hidden struct {
	Meta
	Entry  EntryID `json:"entry"`
	Reason string  `json:"reason,omitempty"`
}

// Unhidden is an entry shown again.
type Unhidden struct {
	Meta
	Entry EntryID `json:"entry"`
}

// Hide decides the command of the same name. Hiding what is hidden gives no
// event. It returns [ErrUnknownEntry] or [*FieldErrors].
func (s *State) Hide(cmd Hide) ([]Event, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	e, ok := s.entries.Get(cmd.Entry)
	if !ok {
		return nil, ErrUnknownEntry
	}
	if e.Hidden {
		return nil, nil
	}
	reason := ""
	if cmd.Reason != "" {
		var errs FieldErrors
		reason = text(&errs, "reason", cmd.Reason, MaxReason)
		if err := errs.err(); err != nil {
			return nil, err
		}
	}
	return []Event{{Hidden: &Hidden{Meta: cmd.utc(), Entry: e.ID, Reason: reason}}}, nil
}

// Unhide decides the command of the same name. Showing what is shown gives no
// event. It returns [ErrUnknownEntry].
func (s *State) Unhide(cmd Unhide) ([]Event, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	e, ok := s.entries.Get(cmd.Entry)
	if !ok {
		return nil, ErrUnknownEntry
	}
	if !e.Hidden {
		return nil, nil
	}
	return []Event{{Unhidden: &Unhidden{Meta: cmd.utc(), Entry: e.ID}}}, nil
}

func (s *State) applyHidden(e *Hidden) error {
	entry, ok := s.entries.Get(e.Entry)
	if !ok {
		return ErrUnknownEntry
	}
	entry.Hidden, entry.HiddenReason = true, e.Reason
	s.entries.Set(entry.ID, entry)
	s.dropWinner(entry)
	return nil
}

func (s *State) applyUnhidden(e *Unhidden) error {
	entry, ok := s.entries.Get(e.Entry)
	if !ok {
		return ErrUnknownEntry
	}
	entry.Hidden, entry.HiddenReason = false, ""
	s.entries.Set(entry.ID, entry)
	return nil
}
