package lb

import "testing"

func TestASelectorNeedsAllItsRequirements(t *testing.T) {
	labels := map[string]string{"app": "web", "empty": ""}
	in := Requirement{Key: "app", Operator: In, Values: []string{"web", "dns"}}
	for _, c := range []struct {
		name     string
		selector *Selector
		labels   map[string]string
		want     bool
	}{
		{"nil matches all", nil, labels, true},
		{"empty matches all", &Selector{}, nil, true},
		{"In", &Selector{[]Requirement{in}}, labels, true},
		{"In needs the value", &Selector{[]Requirement{in}}, map[string]string{"app": "db"}, false},
		{"In needs the label", &Selector{[]Requirement{in}}, nil, false},
		{"In with an empty value needs the label too", &Selector{[]Requirement{{"gone", In, []string{""}}}}, labels, false},
		{"NotIn", &Selector{[]Requirement{{"app", NotIn, []string{"db"}}}}, labels, true},
		{"NotIn refuses the value", &Selector{[]Requirement{{"app", NotIn, []string{"web"}}}}, labels, false},
		{"NotIn takes a missing label", &Selector{[]Requirement{{"gone", NotIn, []string{"web"}}}}, labels, true},
		{"Exists takes an empty value", &Selector{[]Requirement{{"empty", Exists, nil}}}, labels, true},
		{"Exists needs the label", &Selector{[]Requirement{{"gone", Exists, nil}}}, labels, false},
		{"DoesNotExist", &Selector{[]Requirement{{"gone", DoesNotExist, nil}}}, labels, true},
		{"DoesNotExist refuses an empty value", &Selector{[]Requirement{{"empty", DoesNotExist, nil}}}, labels, false},
		{"all must hold", &Selector{[]Requirement{in, {"gone", Exists, nil}}}, labels, false},
		{"an unknown operator matches nothing", &Selector{[]Requirement{{"app", "Like", []string{"web"}}}}, labels, false},
	} {
		if got := c.selector.Matches(c.labels); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
