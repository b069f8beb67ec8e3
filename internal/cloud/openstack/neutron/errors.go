package neutron

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/lb"
)

// RefusalError is an answer of the cloud that its user has to do something about.
type RefusalError struct {
	Refusal *lb.Refusal
	Err     error
}

func (e *RefusalError) Error() string { return e.Refusal.Message() + " (" + e.Err.Error() + ")" }

// Unwrap gives what the cloud said.
func (e *RefusalError) Unwrap() error { return e.Err }

// notAsked is an error from before the cloud was asked for anything.
type notAsked string

func (e notAsked) Error() string { return string(e) }

const (
	// The step that makes it failed, or somebody deleted it.
	errNoGroup      notAsked = "there is no such security group"
	errNoFloatingIP notAsked = "there is no such floating IP"
	errOtherStep    notAsked = "this is not a step of that kind"
)

// Kind is the type of a Neutron error, such as OverQuota; empty where the answer was
// not Neutron's. Several kinds share a status code.
func Kind(err error) string {
	var answer gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &answer) {
		return ""
	}
	var body struct {
		NeutronError struct {
			Type string `json:"type"`
		}
		// package access passes refusals on in this form.
		Code string `json:"faultcode"`
	}
	if json.Unmarshal(answer.Body, &body) != nil {
		return ""
	}
	return cmp.Or(body.NeutronError.Type, body.Code)
}

// Uncertain tells whether a change may have been made although it failed: no answer,
// one that cannot be read, or one of a proxy or a service in trouble.
func Uncertain(err error) bool {
	if err == nil {
		return false
	}
	var answer gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &answer) {
		return answer.Actual >= http.StatusInternalServerError || answer.Actual == http.StatusRequestTimeout
	}
	var before notAsked
	// A token that is not taken any more is noticed before anything is done.
	var login *gophercloud.ErrUnableToReauthenticate
	return !errors.As(err, &before) && !errors.As(err, &login)
}

func gone(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusNotFound) }

func conflicts(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusConflict) }
