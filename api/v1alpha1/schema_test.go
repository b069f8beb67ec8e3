package v1alpha1_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

const crdDir = "../../deploy/crds"

// oldestKubernetes is what the package doc promises.
var oldestKubernetes = version.MajorMinor(1, 31)

// readCRD reads a generated CRD as the API server holds it.
func readCRD(t *testing.T, plural string) *apiextensions.CustomResourceDefinition {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(crdDir, "fairlead.dev_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var external apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &external); err != nil {
		t.Fatalf("%s: %v", plural, err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&external)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&external.Spec)
	var crd apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&external, &crd, nil); err != nil {
		t.Fatalf("%s: %v", plural, err)
	}
	crd.Status.StoredVersions = []string{"v1alpha1"}
	return &crd
}

// apiServer checks objects of one kind as the API server does: schema, list types,
// then CEL, each by Kubernetes' own code.
type apiServer struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func serverFor(t *testing.T, plural string) *apiServer {
	t.Helper()
	crd := readCRD(t, plural)
	// One version moves its schema to the top when it is converted.
	structural, err := schema.NewStructural(crd.Spec.Validation.OpenAPIV3Schema)
	if err != nil {
		t.Fatalf("%s: %v", plural, err)
	}
	openAPI, _, err := validation.NewSchemaValidator(crd.Spec.Validation.OpenAPIV3Schema)
	if err != nil {
		t.Fatalf("%s: %v", plural, err)
	}
	return &apiServer{
		structural: structural,
		schema:     openAPI,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}
}

// create says what the API server would say to a new object.
func (s *apiServer) create(object map[string]any) []string {
	defaulting.Default(object, s.structural)
	errs := validation.ValidateCustomResource(nil, object, s.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if len(errs) == 0 {
		errs, _ = s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	}
	return texts(errs)
}

// update says what the API server would say to a changed object.
func (s *apiServer) update(object, old map[string]any) []string {
	errs, _ := s.rules.Validate(context.Background(), nil, s.structural, object, old, celconfig.RuntimeCELCostBudget)
	return texts(errs)
}

func texts(errs field.ErrorList) []string {
	var out []string
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

// parse reads an object as the API server does: whole numbers are int64.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	var object map[string]any
	if err := json.Unmarshal(asJSON, &object); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return object
}

func TestAPIServerTakesTheCRDsAndTheCostOfTheirRules(t *testing.T) {
	for _, plural := range []string{"addresspools", "loadbalancerclasses", "speakers"} {
		for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), readCRD(t, plural)) {
			t.Errorf("%s: %v", plural, err)
		}
	}
}

func TestRulesCompileInTheOldestKubernetesWeNeed(t *testing.T) {
	env := environment.MustBaseEnvSet(oldestKubernetes)
	for _, plural := range []string{"addresspools", "loadbalancerclasses"} {
		s := serverFor(t, plural)
		var rules int
		visit(s.structural, true, "", func(s *schema.Structural, root bool, path string) {
			compiled, err := cel.Compile(s, model.SchemaDeclType(s, root), celconfig.PerCallLimit, env, cel.NewExpressionsEnvLoader())
			if err != nil {
				t.Errorf("%s%s: %v", plural, path, err)
			}
			for i, c := range compiled {
				rules++
				if c.Error != nil {
					t.Errorf("%s%s: %s: %v", plural, path, s.XValidations[i].Rule, c.Error)
				}
				if c.MessageExpressionError != nil {
					t.Errorf("%s%s: %s: %v", plural, path, s.XValidations[i].MessageExpression, c.MessageExpressionError)
				}
			}
		})
		if rules == 0 {
			t.Errorf("%s: no rule was found", plural)
		}
	}
}

// visit calls see for every part of a schema that may carry rules.
func visit(s *schema.Structural, root bool, path string, see func(s *schema.Structural, root bool, path string)) {
	see(s, root, path)
	for name, property := range s.Properties {
		visit(&property, false, path+"."+name, see)
	}
	if s.Items != nil {
		visit(s.Items, false, path+"[]", see)
	}
}
