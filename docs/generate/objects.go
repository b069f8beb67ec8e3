package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// objects tells every field of every CRD in deploy/crds.
func objects(_ context.Context, root string) (string, error) {
	files, err := filepath.Glob(filepath.Join(root, "deploy", "crds", "*.yaml"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("no CRD in %s/deploy/crds: run this at the root of the repository", root)
	}
	var out strings.Builder
	out.WriteString("# Objects\n\n" + notice +
		"The group is `fairlead.dev`, the version `v1alpha1`; all are cluster-scoped. `kubectl explain` shows the same.\n")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			return "", fmt.Errorf("understand %s: %w", file, err)
		}
		out.WriteString(object(&crd))
	}
	return out.String(), nil
}

func object(crd *apiextensionsv1.CustomResourceDefinition) string {
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n", crd.Spec.Names.Kind)
	if schema.Description != "" {
		fmt.Fprintf(&out, "%s\n\n", strings.ReplaceAll(schema.Description, "\n", " "))
	}
	fmt.Fprintf(&out, "`kubectl get %s`", crd.Spec.Names.Plural)
	for _, short := range crd.Spec.Names.ShortNames {
		fmt.Fprintf(&out, ", or `kubectl get %s`", short)
	}
	out.WriteString(".\n")
	for _, rule := range schema.XValidations {
		fmt.Fprintf(&out, "\nAn object is refused if %s.\n", rule.Message)
	}
	for _, half := range []string{"spec", "status"} {
		part, there := schema.Properties[half]
		if !there {
			continue
		}
		t := table{}
		t.fields(half, &part)
		fmt.Fprintf(&out, "\n### %s.%s\n\n%s%s", crd.Spec.Names.Kind, half, head("Field", "Type", "Meaning"), t.rows.String())
		if t.rules.Len() > 0 {
			out.WriteString("\nWhat is refused when it is applied, and what the refusal says:\n\n" + head("Field", "Message") + t.rules.String())
		}
	}
	return out.String()
}

// table collects the rows of one schema.
type table struct{ rows, rules strings.Builder }

// fields writes what is below path, in the order of their names.
func (t *table) fields(path string, schema *apiextensionsv1.JSONSchemaProps) {
	t.refusals(path, schema)
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field := schema.Properties[name]
		full := path + "." + name
		meaning := field.Description
		if slices.Contains(schema.Required, name) {
			meaning = "Required. " + meaning
		}
		t.rows.WriteString(row(code(full), cell(typeOf(name, &field)), cell(meaning)))
		t.below(full, name, &field)
	}
}

// below goes into a field, unless it is of a kind that everybody knows.
func (t *table) below(path, name string, field *apiextensionsv1.JSONSchemaProps) {
	switch {
	case isSelector(field) || name == "conditions":
		t.refusals(path, field)
	case field.Items != nil:
		t.refusals(path, field)
		t.fields(path+"[]", field.Items.Schema)
	default:
		t.fields(path, field)
	}
}

func (t *table) refusals(path string, schema *apiextensionsv1.JSONSchemaProps) {
	for _, rule := range schema.XValidations {
		t.rules.WriteString(row(code(path), cell(rule.Message)))
	}
}

func isSelector(field *apiextensionsv1.JSONSchemaProps) bool {
	_, has := field.Properties["matchLabels"]
	return has
}

// typeOf says what may be written into a field.
func typeOf(name string, field *apiextensionsv1.JSONSchemaProps) string {
	text := field.Type
	switch {
	case isSelector(field):
		return "label selector"
	case name == "conditions":
		return "list of conditions"
	case field.Items != nil:
		text = "list of " + field.Items.Schema.Type
		if field.MaxItems != nil {
			text += fmt.Sprintf(", at most %d", *field.MaxItems)
		}
	case field.Format == "date-time":
		text = "time"
	case len(field.Enum) > 0:
		values := make([]string, len(field.Enum))
		for i, v := range field.Enum {
			values[i] = strings.Trim(string(v.Raw), `"`)
		}
		text = strings.Join(values, ", ")
	}
	if field.Minimum != nil {
		text += fmt.Sprintf(", at least %g", *field.Minimum)
	}
	if field.Default != nil {
		text += ", default " + string(field.Default.Raw)
	}
	return text
}
