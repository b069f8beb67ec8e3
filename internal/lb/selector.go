package lb

import "slices"

// Selector is a label selector (meta/v1 LabelSelector): all requirements must hold.
// The empty selector matches everything.
type Selector struct {
	Requirements []Requirement
}

// Requirement compares one label.
type Requirement struct {
	Key      string
	Operator Operator
	Values   []string
}

// Operator is how a Requirement compares.
type Operator string

// The four operators of meta/v1 LabelSelectorOperator.
const (
	In           Operator = "In"
	NotIn        Operator = "NotIn"
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
)

// Matches tells whether labels satisfy the selector; a nil selector matches all.
func (s *Selector) Matches(labels map[string]string) bool {
	if s == nil {
		return true
	}
	for _, r := range s.Requirements {
		if !r.matches(labels) {
			return false
		}
	}
	return true
}

func (r Requirement) matches(labels map[string]string) bool {
	value, has := labels[r.Key]
	switch r.Operator {
	case In:
		return has && slices.Contains(r.Values, value)
	case NotIn:
		return !has || !slices.Contains(r.Values, value)
	case Exists:
		return has
	case DoesNotExist:
		return !has
	}
	return false
}
