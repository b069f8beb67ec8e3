package kube

import (
	"reflect"
	"slices"
)

// table holds the latest value of each object, and lists them in order.
type table[K comparable, V any] struct {
	rows    map[K]V
	compare func(K, K) int
	order   []K // of rows; nil after one came or went
}

func newTable[K comparable, V any](compare func(K, K) int) table[K, V] {
	return table[K, V]{rows: make(map[K]V), compare: compare}
}

// set stores v and tells whether it differs from what was there.
func (t *table[K, V]) set(k K, v V) bool {
	old, known := t.rows[k]
	if known && reflect.DeepEqual(old, v) {
		return false
	}
	t.rows[k] = v
	if !known {
		t.order = nil
	}
	return true
}

// remove tells whether k was there.
func (t *table[K, V]) remove(k K) bool {
	if _, known := t.rows[k]; !known {
		return false
	}
	delete(t.rows, k)
	t.order = nil
	return true
}

func (t *table[K, V]) keys() []K {
	if t.order == nil {
		t.order = make([]K, 0, len(t.rows))
		for k := range t.rows {
			t.order = append(t.order, k)
		}
		slices.SortFunc(t.order, t.compare)
	}
	return t.order
}

// list copies the values out, in order of their keys.
func (t *table[K, V]) list() []V {
	out := make([]V, 0, len(t.rows))
	for _, k := range t.keys() {
		out = append(out, t.rows[k])
	}
	return out
}
