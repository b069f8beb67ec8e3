package occm

import "strings"

// nearest is the name that was most likely meant; empty where none is close.
func nearest(name string, among []string) string {
	best, least := "", 1+len(name)/4 // one slip for short names, one more for every four letters
	for _, candidate := range among {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d <= least && d < len(candidate)/2+1 {
			if d < least || best == "" {
				best, least = candidate, d
			}
		}
	}
	return best
}

// distance counts the letters to insert, drop or replace (Levenshtein).
func distance(x, y string) int {
	a, b := []rune(x), []rune(y)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
