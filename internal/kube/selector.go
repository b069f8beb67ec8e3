package kube

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// selectorFrom reads a label selector; nil stays nil.
func selectorFrom(s *metav1.LabelSelector) (*lb.Selector, error) {
	if s == nil {
		return nil, nil
	}
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		return nil, fmt.Errorf("%w: see kubectl explain for the form of a label selector", err)
	}
	out := &lb.Selector{}
	for key, value := range s.MatchLabels {
		out.Requirements = append(out.Requirements, lb.Requirement{Key: key, Operator: lb.In, Values: []string{value}})
	}
	slices.SortFunc(out.Requirements, func(x, y lb.Requirement) int { return cmp.Compare(x.Key, y.Key) })
	for _, e := range s.MatchExpressions {
		out.Requirements = append(out.Requirements, lb.Requirement{Key: e.Key, Operator: lb.Operator(e.Operator), Values: e.Values})
	}
	return out, nil
}
