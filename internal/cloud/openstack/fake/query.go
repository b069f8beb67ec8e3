package fake

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// object is a rendered one, on its way into a list: attributes by name, and what
// lists need to know beside them.
type object struct {
	attributes map[string]any
	stamp      stamp
	tags       []string
}

// tagFilters are the same in Neutron and Octavia.
var tagFilters = []string{"tags", "tags-any", "not-tags", "not-tags-any"}

// matchTags applies the tag filters. A filter given several times, or with commas, is
// one list.
func matchTags(have []string, query url.Values) bool {
	for _, name := range tagFilters {
		values, given := query[name]
		if !given {
			continue
		}
		wanted := strings.Split(strings.Join(values, ","), ",")
		has := func(tag string) bool { return slices.Contains(have, tag) }
		all := !slices.ContainsFunc(wanted, func(tag string) bool { return !has(tag) })
		switch name {
		case "tags":
			given = all
		case "tags-any":
			given = slices.ContainsFunc(wanted, has)
		case "not-tags":
			given = !all
		case "not-tags-any":
			given = !slices.ContainsFunc(wanted, has)
		}
		if !given {
			return false
		}
	}
	return true
}

// text renders an attribute as a filter would write it.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "True"
		}
		return "False"
	}
	return fmt.Sprint(value)
}

// sameText compares a filter with an attribute; booleans have many spellings.
func sameText(filter string, value any) bool {
	if b, ok := value.(bool); ok {
		given, err := strconv.ParseBool(strings.ToLower(filter))
		return err == nil && given == b
	}
	return text(value) == filter
}

// selectFields keeps what fields= asks for.
func selectFields(attributes map[string]any, query url.Values) map[string]any {
	fields := query["fields"]
	if len(fields) == 0 {
		return attributes
	}
	chosen := map[string]any{}
	for _, name := range fields {
		if v, ok := attributes[name]; ok {
			chosen[name] = v
		}
	}
	return chosen
}

// page is one page of a list, and what to ask for the others.
type page struct {
	objects []object
	links   []any
}

// paging is how a service cuts its lists.
type paging struct {
	url   string // of the list
	limit int    // the service's own; zero is none
	order func(a, b object) int
	// keepFilters: Neutron's links carry the filters of the request. Octavia's do not
	// (api/common/pagination.py, _make_links): who follows them gets other people's
	// objects too, and has to look again at what arrives.
	keepFilters bool
	refuse      func(what, value string) error
}

func (p paging) cut(all []object, query url.Values) (page, error) {
	sort.SliceStable(all, func(i, j int) bool { return p.order(all[i], all[j]) < 0 })
	reverse := query.Get("page_reverse") == "True" || query.Get("page_reverse") == "true"
	if reverse {
		slices.Reverse(all)
	}
	limit := p.limit
	if given := query.Get("limit"); given != "" && given != "infinite" {
		n, err := strconv.Atoi(given)
		if err != nil {
			return page{}, p.refuse("limit", given)
		}
		if n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	marker := query.Get("marker")
	if marker != "" {
		at := slices.IndexFunc(all, func(o object) bool { return o.attributes["id"] == marker })
		if at < 0 {
			return page{}, p.refuse("marker", marker)
		}
		all = all[at+1:]
	}
	if limit == 0 {
		return page{objects: all}, nil
	}
	full := len(all) >= limit
	all = all[:min(limit, len(all))]
	if reverse {
		slices.Reverse(all)
	}
	var links []any
	link := func(rel string, o object, back bool) {
		q := url.Values{}
		if p.keepFilters {
			q, _ = url.ParseQuery(query.Encode()) // what Encode wrote
			q.Del("page_reverse")
		}
		q.Set("limit", strconv.Itoa(limit))
		q.Set("marker", fmt.Sprint(o.attributes["id"]))
		if back {
			q.Set("page_reverse", "True")
		}
		links = append(links, map[string]any{"rel": rel, "href": p.url + "?" + q.Encode()})
	}
	// A full page has a next one, even if that turns out to be empty: neither service
	// looks ahead.
	if len(all) > 0 {
		if full {
			link("next", all[len(all)-1], false)
		}
		if marker != "" {
			link("previous", all[0], true)
		}
	}
	return page{objects: all, links: links}, nil
}

// listed tells whether an object has arrived in lists.
func (c *Cloud) listed(s stamp, now time.Time) bool {
	return c.listLag == 0 || now.Sub(s.created) >= c.listLag
}

func notFound(kind, text string) error { return &refusal{http.StatusNotFound, kind, text} }
