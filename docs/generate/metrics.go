package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/liveness"
)

// metric is a collector as its reader sees it.
type metric struct {
	name, kind, help string
	labels           []string
	values           []string // of the label, where they are known beforehand
}

// metricsPage tells every collector of ours. Those of what the speaker is made of are
// asked for where making it touches nothing; the others are made inside the role, so they
// are read in the source.
func metricsPage(_ context.Context, root string) (string, error) {
	controller, err := metricsInSource(filepath.Join(root, "internal", "controller", "figures.go"))
	if err != nil {
		return "", err
	}
	var cloud []metric
	for _, file := range []string{"octavia/figures.go", "access/metrics.go"} {
		more, err := metricsInSource(filepath.Join(root, "internal", "cloud", "openstack", file))
		if err != nil {
			return "", err
		}
		cloud = append(cloud, more...)
	}
	slices.SortFunc(cloud, func(x, y metric) int { return strings.Compare(x.name, y.name) })
	speaker, err := metricsOfSpeaker()
	if err != nil {
		return "", err
	}
	for _, file := range []string{"speaker/figures.go", "fence/fence.go"} {
		more, err := metricsInSource(filepath.Join(root, "internal", file))
		if err != nil {
			return "", err
		}
		speaker = append(speaker, more...)
	}
	slices.SortFunc(speaker, func(x, y metric) int { return strings.Compare(x.name, y.name) })
	var out strings.Builder
	out.WriteString("# Metrics\n\n" + notice +
		"Both roles serve Prometheus metrics at `/metrics`, and `/healthz` and `/readyz` beside it: the controller on port\n" +
		"7472, the speaker on 7473 (`--address`). What the Go runtime, the process and the Kubernetes client say of\n" +
		"themselves (`go_*`, `process_*`, `rest_client_*`, `leader_election_*`) is there too.\n\n" +
		"Only the controller that leads fills in its own.\n" +
		"\n## Controller\n\n")
	out.WriteString(metricTable(controller))
	out.WriteString("\n### Of clouds\n\nOnly where a LoadBalancerClass names a cloud; `cloud` is the Secret.\n\n")
	out.WriteString(metricTable(cloud))
	out.WriteString("\n## Speaker\n\n")
	out.WriteString(metricTable(speaker))
	for _, m := range speaker {
		if len(m.values) > 0 && m.labels[0] == "reason" {
			fmt.Fprintf(&out, "\nThe reasons of `%s`: %s.\n", m.name, "`"+strings.Join(m.values, "`, `")+"`")
		}
	}
	return out.String(), nil
}

func metricTable(metrics []metric) string {
	var out strings.Builder
	out.WriteString(head("Metric", "Kind", "Labels", "Meaning"))
	for _, m := range metrics {
		labels := "–"
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		out.WriteString(row(code(m.name), m.kind, labels, cell(m.help)))
	}
	return out.String()
}

// recorder is a registry that remembers what was registered.
type recorder struct {
	*prometheus.Registry
	collectors []prometheus.Collector
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return r.Registry.Register(c)
}

func (r *recorder) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// descText is prometheus.Desc.String, which is the only way to read a Desc.
var descText = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),.* variableLabels: \{(.*)\}\}$`)

// metricsOfSpeaker makes an announcer and a mesh, which touch no network before they run.
func metricsOfSpeaker() ([]metric, error) {
	r := &recorder{Registry: prometheus.NewRegistry()}
	announce.New(announce.Options{Metrics: r})
	liveness.New(liveness.Options{Metrics: r})
	values, err := knownValues(r)
	if err != nil {
		return nil, err
	}
	var out []metric
	for _, c := range r.collectors {
		descs := make(chan *prometheus.Desc, 8)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			found := descText.FindStringSubmatch(d.String())
			if found == nil {
				return nil, fmt.Errorf("%s is not written as expected", d)
			}
			m := metric{kind: kindOf(c)}
			if m.name, err = strconv.Unquote(found[1]); err != nil {
				return nil, err
			}
			if m.help, err = strconv.Unquote(found[2]); err != nil {
				return nil, err
			}
			if found[3] != "" {
				m.labels = strings.Split(found[3], ",")
			}
			m.values = values[m.name]
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(x, y metric) int { return strings.Compare(x.name, y.name) })
	return out, nil
}

func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.GaugeVec, prometheus.Gauge: // before Counter, whose methods a Gauge has
		return "gauge"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	}
	return "untyped"
}

// knownValues are the label values that are there before anything happened.
func knownValues(g prometheus.Gatherer) (map[string][]string, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, err
	}
	out := make(map[string][]string)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				out[f.GetName()] = append(out[f.GetName()], l.GetValue())
			}
		}
	}
	return out, nil
}

// metricsInSource finds calls such as prometheus.NewGaugeVec(prometheus.GaugeOpts{…},
// []string{…}) in a file.
func metricsInSource(path string) ([]metric, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return nil, err
	}
	var out []metric
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		opts, ok := call.Args[0].(*ast.CompositeLit)
		if !ok {
			return true
		}
		kind, ok := strings.CutSuffix(selected(opts.Type), "Opts")
		if !ok {
			return true
		}
		m := metric{kind: strings.ToLower(kind)}
		for _, e := range opts.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok {
				switch key, _ := pair.Key.(*ast.Ident); key.Name {
				case "Name":
					m.name = text(pair.Value)
				case "Help":
					m.help = text(pair.Value)
				}
			}
		}
		if len(call.Args) > 1 {
			if labels, ok := call.Args[1].(*ast.CompositeLit); ok {
				for _, e := range labels.Elts {
					m.labels = append(m.labels, text(e))
				}
			}
		}
		out = append(out, m)
		return true
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("no metric is made in %s: tell docs/generate where they went", path)
	}
	slices.SortFunc(out, func(x, y metric) int { return strings.Compare(x.name, y.name) })
	return out, nil
}

func selected(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}

// text is the value of a string literal.
func text(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok {
		if s, err := strconv.Unquote(l.Value); err == nil {
			return s
		}
	}
	return ""
}
