package main

import (
	"context"
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/compat/occm"
)

// openStackPage tells every key of cloud.conf and every annotation of OCCM, and how far
// each means the same here.
func openStackPage(context.Context, string) (string, error) {
	var out strings.Builder
	out.WriteString("# OCCM's configuration and annotations\n\n" + notice +
		"A LoadBalancerClass with `provider: Octavia` reads the `cloud.conf` of OpenStack's cloud controller manager (OCCM,\n" +
		"kubernetes/cloud-provider-openstack) from a Secret, and its annotations on Services. *Differently* and *no* say why.\n" +
		"What counts first: [annotations](#annotations), then the [class](objects.md#loadbalancerclass), then `[LoadBalancer]`; for\n" +
		"networks and subnets, a `[LoadBalancerClass]` section before all of them.\n\n" +
		"## Annotations\n\nOn a Service. An empty value is as none, unless the table says otherwise.\n\n" +
		head("Annotation", "Default", "Example", "Meaning", "Honoured"))
	for _, a := range occm.Annotations() {
		out.WriteString(row(code(a.Name), value(a.Default), value(a.Example), cell(a.Meaning), honoured(a.Honoured, a.Remark)))
	}
	out.WriteString("\n## cloud.conf\n")
	section := ""
	for _, k := range occm.Keys() {
		if k.Section != section {
			section = k.Section
			fmt.Fprintf(&out, "\n### %s\n\n%s", section, head("Key", "Default", "Example", "Meaning", "Honoured"))
		}
		meaning := cell(k.Meaning)
		if k.Secret {
			meaning += " A secret: it is never printed."
		}
		out.WriteString(row(code(k.Name), value(k.Default), value(k.Example), meaning, honoured(k.Honoured, k.Remark)))
	}
	return out.String(), nil
}

// value sets what may be written as code, and what is only described as text.
func value(text string) string {
	if strings.Contains(text, " ") {
		return cell(text)
	}
	return code(text)
}

func honoured(how occm.Honoured, remark string) string {
	if remark == "" {
		return string(how)
	}
	return string(how) + ": " + cell(remark)
}
