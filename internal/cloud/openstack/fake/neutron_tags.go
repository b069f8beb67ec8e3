package fake

import (
	"fmt"
	"net/http"
	"slices"
)

// tagged finds the object that a tags request is about.
func (c *Cloud) tagged(r *request) (*standard, error) {
	if !c.extension("standard-attr-tag") {
		return nil, notFound("HTTPNotFound", "The resource could not be found.")
	}
	id, kind := r.PathValue("id"), ""
	var found *standard
	switch resource := r.PathValue("resource"); resource {
	case "networks":
		if n := c.findNetwork(id); n != nil {
			found = &n.standard
		}
	case "subnets":
		if s := c.findSubnet(id); s != nil {
			found = &s.standard
		}
	case "ports":
		if p := c.findPort(id); p != nil {
			found = &p.standard
		}
	case "floatingips":
		for _, f := range c.floatingIPs {
			if f.id == id {
				found = &f.standard
			}
		}
	case "security-groups":
		if g := c.findGroup(id); g != nil {
			found = &g.standard
		}
	default:
		kind = resource
	}
	if found == nil || !r.visible(found.project) {
		return nil, notFound("TagResourceNotFound", fmt.Sprintf("Resource %s %s could not be found.", kind, id))
	}
	return found, nil
}

func (c *Cloud) showTags(r *request) (reply, error) {
	s, err := c.tagged(r)
	if err != nil {
		return reply{}, err
	}
	return reply{body: map[string]any{"tags": list(s.tags)}}, nil
}

func (c *Cloud) setTags(r *request, s *standard, tags []string) {
	slices.Sort(tags)
	s.tags = slices.Compact(tags)
	c.touch(s, r)
}

func (c *Cloud) replaceTags(r *request) (reply, error) {
	s, err := c.tagged(r)
	if err != nil {
		return reply{}, err
	}
	var in struct{ Tags []string }
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	if err := s.checkRevision(r); err != nil {
		return reply{}, err
	}
	c.setTags(r, s, in.Tags)
	return reply{body: map[string]any{"tags": list(s.tags)}}, nil
}

func (c *Cloud) clearTags(r *request) (reply, error) {
	s, err := c.tagged(r)
	if err != nil {
		return reply{}, err
	}
	c.setTags(r, s, nil)
	return reply{status: http.StatusNoContent}, nil
}

func tagNotFound(tag string) error {
	return notFound("TagNotFound", fmt.Sprintf("Tag %s could not be found.", tag))
}

func (c *Cloud) showTag(r *request) (reply, error) {
	s, err := c.tagged(r)
	if err != nil {
		return reply{}, err
	}
	if !slices.Contains(s.tags, r.PathValue("tag")) {
		return reply{}, tagNotFound(r.PathValue("tag"))
	}
	return reply{status: http.StatusNoContent}, nil
}

func (c *Cloud) addTag(r *request) (reply, error) {
	s, err := c.tagged(r)
	if err != nil {
		return reply{}, err
	}
	c.setTags(r, s, append(slices.Clone(s.tags), r.PathValue("tag")))
	return reply{status: http.StatusCreated}, nil
}

func (c *Cloud) removeTag(r *request) (reply, error) {
	s, err := c.tagged(r)
	if err != nil {
		return reply{}, err
	}
	tag := r.PathValue("tag")
	if !slices.Contains(s.tags, tag) {
		return reply{}, tagNotFound(tag)
	}
	c.setTags(r, s, slices.DeleteFunc(slices.Clone(s.tags), func(t string) bool { return t == tag }))
	return reply{status: http.StatusNoContent}, nil
}
