package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

type object map[string]any

// api speaks to the API server in plain JSON: client-go would make each of
// these processes five times as large.
type api struct {
	url  string
	http *http.Client
}

func newAPI(cfg Config) (*api, error) {
	cert, err := tls.X509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("read client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, errors.New("read CA certificate: no PEM block")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS13},
		// HTTP/1.1 only: a request that timed out takes its dead connection with
		// it, where HTTP/2 would go on using one that a fault has cut.
		ForceAttemptHTTP2:   false,
		MaxIdleConnsPerHost: 4,
	}
	return &api{url: cfg.API, http: &http.Client{Transport: transport}}, nil
}

type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.text) }

func isNotFound(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == http.StatusNotFound
}

func (a *api) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %w", method, path, &statusError{resp.StatusCode, string(text)})
	}
	return resp, nil
}

// do sends one request and reads the answer into out, unless that is nil.
func (a *api) do(ctx context.Context, method, path string, body, out any) error {
	resp, err := a.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out != nil {
		return json.NewDecoder(resp.Body).Decode(out)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// pod is the part of a Pod that matters here.
type pod struct {
	Metadata struct {
		Namespace, Name, UID string
		DeletionTimestamp    *time.Time
	}
	Spec struct {
		HostNetwork bool
		Containers  []struct {
			Name, Image string
			Args        []string
			Ports       []struct{ ContainerPort int }
		}
	}
	Status struct {
		PodIPs     []struct{ IP string }
		Conditions []struct{ Type, Status string }
	}
}

func (p *pod) path() string {
	return "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
}

// ready says whether the API server already knows that the pod serves.
func (p *pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// watch lists the pods of the node and then calls each for every change, until
// the API server ends the watch or the connection breaks. all gets the list.
func (a *api) watch(ctx context.Context, node string, all func([]pod), each func(kind string, p pod)) error {
	const path = "/api/v1/pods?fieldSelector=spec.nodeName%3D"
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []pod
	}
	listing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.do(listing, "GET", path+node, nil, &list); err != nil {
		return err
	}
	all(list.Items)
	// The short timeout bounds how long a watch over a dead wire goes unnoticed.
	watching, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	resp, err := a.request(watching, "GET", path+node+"&watch=true&timeoutSeconds=10&resourceVersion="+list.Metadata.ResourceVersion, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	events := json.NewDecoder(resp.Body)
	for {
		var event struct {
			Type   string
			Object pod
		}
		if err := events.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if event.Type == "ERROR" {
			return nil // too old a resource version: list again
		}
		each(event.Type, event.Object)
	}
}
