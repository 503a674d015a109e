package atomicstore

import "fmt"

// maxNesting is how many levels deep a state or an event may be nested.
// encoding/json reads 10,000, and in a data.json both stand a few levels down.
const maxNesting = 9990

func tooDeep(what string) error {
	return fmt.Errorf("the %s is nested more than %d levels deep, and could not be read again", what, maxNesting)
}

// nesting counts how deeply JSON is nested while that passes.
type nesting struct {
	depth, deepest  int
	quoted, escaped bool
}

func (n *nesting) pass(b []byte) {
	for _, c := range b {
		switch {
		case n.escaped:
			n.escaped = false
		case n.quoted:
			n.escaped, n.quoted = c == '\\', c != '"'
		case c == '"':
			n.quoted = true
		case c == '{' || c == '[':
			n.depth++
			n.deepest = max(n.deepest, n.depth)
		case c == '}' || c == ']':
			n.depth--
		}
	}
}

// deep tells whether the JSON of an event is nested too deep.
func deep(event []byte) bool {
	if len(event) < 2*maxNesting { // two brackets for each level
		return false
	}
	var n nesting
	n.pass(event)
	return n.deepest > maxNesting
}
