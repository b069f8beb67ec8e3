package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// Kind tells what to do about a Failure.
type Kind string

// The kinds.
const (
	// Unreachable: there was no answer.
	Unreachable Kind = "Unreachable"
	// Denied: the credentials are refused, or may not do this.
	Denied Kind = "Denied"
	// Quota: nothing is left, of a quota or of a subnet's addresses.
	Quota Kind = "Quota"
	// NotFound: the object is not there.
	NotFound Kind = "NotFound"
	// Conflict: the object is at work, or is not in the state that the call expects.
	Conflict Kind = "Conflict"
	// Limited: too many calls; RetryAfter tells when the next may come.
	Limited Kind = "Limited"
	// Invalid: the cloud will never do this, however often it is asked.
	Invalid Kind = "Invalid"
	// Broken: the cloud answers that it failed, or with what is no answer.
	Broken Kind = "Broken"
)

// Failure is what an error of a cloud call means. It is an error itself, and the one
// to show: its text has the cloud's own words and no secret.
type Failure struct {
	Kind Kind
	// Status is HTTP's; 0 where there was no answer.
	Status int
	// Type is Neutron's name of the error, or Octavia's fault code.
	Type string
	// Message is a sentence. It is the same for the same failure, so that it can stand
	// in a condition.
	Message string
	// RequestID is how the cloud's operator finds the call in their logs.
	RequestID string
	// RetryAfter is how long the cloud asks to wait; 0 where it does not say.
	RetryAfter time.Duration
	// Uncertain: the call may have taken effect all the same. Never for reads, nor
	// where the cloud refused.
	Uncertain bool

	cause error // context.Canceled or DeadlineExceeded, for errors.Is
}

func (f Failure) Error() string { return f.Message }

// Unwrap tells whether a context ended.
func (f Failure) Unwrap() error { return f.cause }

// Classify explains the error of a call. The zero Failure is no error.
func Classify(err error) Failure {
	var (
		failure Failure
		answer  gophercloud.ErrUnexpectedResponseCode
		again   *gophercloud.ErrUnableToReauthenticate
		missing gophercloud.ErrResourceNotFound
	)
	switch {
	case err == nil:
		return Failure{}
	case errors.As(err, &failure):
		return failure
	case errors.As(err, &again):
		// The call itself was answered with 401, so it did nothing.
		f := Classify(again.ErrReauth)
		f.Message = "signing in again: " + f.Message
		f.Uncertain = false
		return f
	case errors.As(err, &answer):
		return answered(&answer)
	case errors.As(err, &missing):
		return Failure{Kind: NotFound, Message: clean(missing.Error())}
	}
	return unanswered(err)
}

// answered explains a status code.
func answered(e *gophercloud.ErrUnexpectedResponseCode) Failure {
	kind, words := told(e.Body)
	words = clean(words)
	f := Failure{Status: e.Actual, Type: kind, RequestID: requestID(e.ResponseHeader), RetryAfter: retryAfter(e.ResponseHeader)}
	f.Kind = kindOf(e.Actual, kind, words, f.RetryAfter)
	f.Uncertain = f.Kind == Broken && !reads(e.Method)
	switch {
	case words != "":
		f.Message = fmt.Sprintf("%s (HTTP %d)", words, e.Actual)
	default:
		f.Message = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.Actual, http.StatusText(e.Actual)))
	}
	return f
}

// kindOf knows the services' habits: Octavia answers 403 for its quota and 501 for
// what a provider cannot do (octavia/common/exceptions.py); Neutron answers 409 for
// its quota and for a subnet without a free address, and 412 when somebody else
// changed the object first (neutron_lib/exceptions).
func kindOf(status int, kind, words string, wait time.Duration) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Denied
	case http.StatusForbidden:
		if mentionsQuota(kind, words) {
			return Quota
		}
		return Denied
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusConflict:
		if mentionsQuota(kind, words) {
			return Quota
		}
		return Conflict
	case http.StatusPreconditionFailed:
		return Conflict
	case http.StatusRequestEntityTooLarge:
		if wait > 0 {
			return Limited
		}
		return Invalid
	case http.StatusTooManyRequests, 498:
		return Limited
	case http.StatusRequestTimeout:
		return Broken
	case http.StatusNotImplemented:
		return Invalid
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Broken
}

func mentionsQuota(kind, words string) bool {
	switch kind {
	case "OverQuota", "IpAddressGenerationFailure", "ExternalIpAddressExhausted":
		return true
	}
	return strings.Contains(strings.ToLower(words), "quota")
}

func reads(method string) bool {
	switch strings.ToUpper(method) {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}

// unanswered explains an error without a status code.
func unanswered(err error) Failure {
	f := Failure{Kind: Unreachable, Uncertain: true}
	var call *url.Error
	if errors.As(err, &call) {
		f.Uncertain = !reads(call.Op)
	}
	where := ""
	if call != nil {
		if u, parseErr := url.Parse(call.URL); parseErr == nil && u.Host != "" {
			where = " from " + u.Host
		}
	}
	var (
		name     *net.DNSError
		dial     *net.OpError
		syntax   *json.SyntaxError
		shape    *json.UnmarshalTypeError
		verify   *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		timeout  interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled):
		f.cause = context.Canceled
		f.Message = "no answer" + where + ": the call was given up"
	case errors.As(err, &syntax), errors.As(err, &shape), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.Kind = Broken
		f.Message = "the answer" + where + " cannot be read"
		if call != nil { // the connection ended, rather than the text
			f.Kind = Unreachable
			f.Message = "no answer" + where + ": the connection was closed"
		}
	case errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &hostname):
		f.Uncertain = false
		f.Message = "no answer" + where + ": its certificate is not trusted: " + clean(innermost(err).Error())
	case errors.As(err, &name):
		f.Uncertain = false
		f.Message = "no answer" + where + ": the name " + clean(name.Name) + " is not known"
	case errors.As(err, &dial) && dial.Op == "dial":
		f.Uncertain = false
		f.Message = "no answer" + where + ": " + clean(innermost(dial).Error())
	case errors.As(err, &timeout) && timeout.Timeout():
		if errors.Is(err, context.DeadlineExceeded) {
			f.cause = context.DeadlineExceeded
		}
		f.Message = "no answer" + where + " in time"
	case call != nil:
		f.Message = "no answer" + where + ": " + clean(innermost(call).Error())
	default:
		f.Kind = Broken
		f.Message = clean(err.Error())
	}
	return f
}

// innermost is the cause without the address and the ports before it, which differ
// from call to call.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

var requestIDLike = regexp.MustCompile(`^req-[0-9a-f-]{8,36}$`)

func requestID(h http.Header) string {
	for _, name := range []string{"X-Openstack-Request-Id", "X-Compute-Request-Id"} {
		if id := h.Get(name); requestIDLike.MatchString(id) {
			return id
		}
	}
	return ""
}

// retryAfter reads seconds or a date (RFC 9110 10.2.3).
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 24*3600 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(time.Until(at), 24*time.Hour))
	}
	return 0
}
