package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func TestPlanTellsEveryStepAndDoesNothing(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "manage-security-groups = true")
	api.addService("web", 30080)
	api.addService("bad", 30081).Annotations = map[string]string{"loadbalancer.openstack.org/connection-limit": "many"}
	out, warnings, err := api.command(t.Context(), nil, "plan")
	if err != nil {
		t.Fatalf("plan: %v\n%s%s", err, out, warnings)
	}
	t.Log("\n" + out)
	for _, want := range []string{
		"Secret fairlead-system/cloud-config (project ", "shop/web", "create load balancer kube_service_kubernetes_shop_web",
		"create floating IP in network " + cloud.IDs().External, "create security group lb-sg-fairlead-" + clusterUID,
		"shop/bad   -      refused: BadOption", "nothing was done",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	hushed(t, out, warnings)
	unchanged(t, cloud)
}

func TestPlanHasNothingToDoAfterTheControllerDidIt(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "manage-security-groups = true")
	api.addService("web", 30080)
	if _, _, err := api.command(t.Context(), nil, "plan", "--detailed-exitcode"); !errors.As(err, new(exitCode)) {
		t.Errorf("--detailed-exitcode with something to do: %v", err)
	}
	api.build(t, clusterUID)
	cloud.ResetCalls()
	out, _, err := api.command(t.Context(), nil, "plan", "--detailed-exitcode", "shop/web")
	if err != nil || !strings.Contains(out, "nothing to do") || strings.Contains(out, "create") {
		t.Errorf("plan after the work: %v\n%s", err, out)
	}
	unchanged(t, cloud)
}

func TestPlanInJSONAndYAMLHasTheSame(t *testing.T) {
	api, _ := stage(t, fake.Options{}, "")
	api.addService("web", 30080)
	out, _, err := api.command(t.Context(), nil, "plan", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var plan struct{ Clouds []cloudPlan }
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(plan.Clouds) != 1 || len(plan.Clouds[0].Services) != 1 || len(plan.Clouds[0].Services[0].Steps) != 2 {
		t.Errorf("plan: %+v", plan)
	}
	out, _, err = api.command(t.Context(), nil, "plan", "-o", "yaml")
	if err != nil || !strings.Contains(out, "service: shop/web") {
		t.Errorf("yaml: %v\n%s", err, out)
	}
	if _, _, err := api.command(t.Context(), nil, "plan", "-o", "xml"); err == nil {
		t.Error("-o xml is taken")
	}
}

func TestPlanSaysWhyItCannotLook(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "")
	api.addService("web", 30080)
	local := file(t, "cloud.conf", conf(cloud, ""))
	fails := func(want string, args ...string) {
		t.Helper()
		out, warnings, err := api.command(t.Context(), nil, append([]string{"plan"}, args...)...)
		if err == nil || !strings.Contains(out+err.Error(), want) {
			t.Errorf("want %q, got: %v\n%s", want, err, out)
		}
		hushed(t, out, warnings)
	}
	fails("there is no Service shop/wep", "shop/wep")
	api.forbidden = true
	fails("you may not read the Secret fairlead-system/cloud-config")
	if out, _, err := api.command(t.Context(), nil, "plan", "--cloud-config", local); err != nil {
		t.Errorf("with a local file, the Secret is not needed: %v\n%s", err, out)
	}
	api.forbidden = false
	cloud.SetPassword("another")
	fails("signing in at")
	delete(api.secrets, "cloud-config")
	fails("kubectl -n fairlead-system create secret generic cloud-config --from-file=cloud.conf")
	api.classes = nil
	fails("no LoadBalancerClass has provider Octavia")
}
