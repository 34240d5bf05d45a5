package contract

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

func (d *differ) identity(before, after *Contract) {
	if before.ID != after.ID {
		d.breaking("contract/id-changed", "service_id", before.ID, after.ID, "another id is another service")
	}
}

// texts compares what is for people.
func (d *differ) texts(before, after *Contract) {
	for _, text := range []struct {
		path        string
		same        bool
		was, become string
	}{
		{"name", before.Name == after.Name, before.Name, after.Name},
		{"description", before.Description == after.Description, before.Description, after.Description},
		{"metadata", reflect.DeepEqual(before.Metadata, after.Metadata), "", ""},
		{"x-*", reflect.DeepEqual(before.Extensions, after.Extensions), "", ""},
	} {
		if !text.same {
			d.add("contract/text", Neutral, Patch, text.path, text.was, text.become, "changed for people only")
		}
	}
}

// capabilities pairs capabilities by type, and by parameters where a type occurs more than once.
func (d *differ) capabilities(before, after *Contract) {
	paired := make([]bool, len(after.Capabilities))
	pair := func(c Capability) int {
		only := -1
		for i, other := range after.Capabilities {
			if paired[i] || other.Type != c.Type {
				continue
			}
			if reflect.DeepEqual(other.Parameters, c.Parameters) {
				return i
			}
			if only >= 0 {
				return -1
			}
			only = i
		}
		return only
	}
	for _, c := range before.Capabilities {
		path := tree.JoinPath("capabilities", c.Type)
		i := pair(c)
		if i < 0 {
			d.breaking("capability/removed", path, c.Type, "", "is no longer offered")
			continue
		}
		paired[i] = true
		d.capability(path, c, after.Capabilities[i])
	}
	for i, c := range after.Capabilities {
		if !paired[i] {
			d.additive("capability/added", tree.JoinPath("capabilities", c.Type), "", c.Type, "is offered in addition")
		}
	}
}

func (d *differ) capability(path string, before, after Capability) {
	was, is := accuracyOf(before), accuracyOf(after)
	d.number("capability", path+".accuracy.min", was.Min, is.Min, higher, true)
	if target := is.Target; was.Target != nil && (target == nil || *target < *was.Target) {
		d.add("capability/target-lowered", Neutral, Minor, path+".accuracy.target", optional(was.Target), optional(target), "less is aimed at; nothing is promised less")
	} else if target != nil && (was.Target == nil || *target > *was.Target) {
		d.additive("capability/target-raised", path+".accuracy.target", optional(was.Target), optional(target), "more is aimed at")
	}
	directions := map[string]direction{}
	for name, value := range after.Capacity {
		if _, ok := jsonvalue.Float(value); ok && strings.HasPrefix(name, "max_") {
			directions[name] = higher
		}
	}
	for name := range before.Capacity {
		if strings.HasPrefix(name, "max_") {
			directions[name] = higher
		}
	}
	d.others("capability", path+".capacity", before.Capacity, after.Capacity, directions)
	d.others("capability", path+".parameters", before.Parameters, after.Parameters, nil)
}

func accuracyOf(c Capability) Accuracy {
	if c.Accuracy == nil {
		return Accuracy{}
	}
	return *c.Accuracy
}

// guarantees pairs guarantees by property: what is measured is what callers rely on.
func (d *differ) guarantees(before, after *Contract) {
	find := func(list []Guarantee, property string) (Guarantee, bool) {
		i := slices.IndexFunc(list, func(g Guarantee) bool { return g.Property == property })
		if i < 0 {
			return Guarantee{}, false
		}
		return list[i], true
	}
	for _, g := range before.Guarantees {
		path := tree.JoinPath("guarantees", g.Name)
		now, kept := find(after.Guarantees, g.Property)
		if !kept {
			d.breaking("guarantee/removed", path, g.Property, "", g.Property+" is no longer promised")
			continue
		}
		if now.Name != g.Name {
			d.breaking("guarantee/renamed", path, g.Name, now.Name, "callers that look it up by name do not find it")
		}
		d.bound(path, g.Bound, now.Bound)
		if now.Invariant != g.Invariant {
			d.add("guarantee/invariant-changed", Neutral, Patch, path+".invariant", g.Invariant, now.Invariant, "another invariant states it")
		}
	}
	for _, g := range after.Guarantees {
		if _, known := find(before.Guarantees, g.Property); !known {
			d.additive("guarantee/added", tree.JoinPath("guarantees", g.Name), "", g.Property, g.Property+" is promised in addition")
		}
	}
}

func (d *differ) bound(path string, before, after Bound) {
	d.number("guarantee", path+".bound.min", before.Min, after.Min, higher, true)
	d.number("guarantee", path+".bound.max", before.Max, after.Max, lower, true)
	d.flag("guarantee", path+".bound.seed_required", before.SeedRequired, after.SeedRequired, false)
	directions := map[string]direction{"max_deviation": lower, "max_ratio": lower, "min_multiple": higher}
	for name, better := range directions {
		was, okWas := jsonvalue.Float(before.Other[name])
		is, okIs := jsonvalue.Float(after.Other[name])
		if okWas != okIs {
			d.number("guarantee", path+".bound."+name, floatOrNil(was, okWas), floatOrNil(is, okIs), better, true)
			before.Other, after.Other = omit(before.Other, name), omit(after.Other, name)
		}
	}
	d.others("guarantee", path+".bound", before.Other, after.Other, directions)
}

func omit(m map[string]any, name string) map[string]any {
	rest := map[string]any{}
	for key, value := range m {
		if key != name {
			rest[key] = value
		}
	}
	return rest
}

func (d *differ) cost(before, after *Cost) {
	switch {
	case before == nil && after == nil:
		return
	case before == nil:
		d.undecided("cost/stated", "cost", "", "stated", "the cost was not stated; whether callers pay more is not known")
		return
	case after == nil:
		d.breaking("cost/removed", "cost", "stated", "", "the cost is no longer stated")
		return
	}
	if before.Model != after.Model {
		if after.Model == "free" {
			d.additive("cost/strengthened", "cost.model", before.Model, after.Model, "is free now")
		} else {
			d.breaking("cost/model-changed", "cost.model", before.Model, after.Model, "calls are charged for in another way")
		}
	}
	if before.Currency != after.Currency && before.Currency != "" {
		d.breaking("cost/currency-changed", "cost.currency", before.Currency, after.Currency, "prices cannot be compared")
		return
	}
	d.number("cost", "cost.base_cost", before.BaseCost, after.BaseCost, lower, false)
	d.number("cost", "cost.token_cost", before.TokenCost, after.TokenCost, lower, false)
	directions := map[string]direction{}
	for _, other := range []map[string]any{before.Other, after.Other} {
		for name := range other {
			if strings.HasPrefix(name, "per_") || strings.HasSuffix(name, "_cost") {
				directions[name] = lower
			}
		}
	}
	d.others("cost", "cost", before.Other, after.Other, directions)
}

func (d *differ) privacy(before, after *Privacy) {
	if before == nil {
		before = &Privacy{}
	}
	if after == nil {
		after = &Privacy{}
	}
	d.rank("privacy", "privacy.data_locality", before.DataLocality, after.DataLocality, []string{"on_device", "local", "regional", "cloud"})
	d.flag("privacy", "privacy.encryption", before.Encryption, after.Encryption, true)
	d.rank("privacy", "privacy.encryption_type", before.EncryptionType, after.EncryptionType, []string{"end_to_end", "mtls", "tls", "none"})
	d.rank("privacy", "privacy.data_retention", before.DataRetention, after.DataRetention, []string{"none", "session", "indefinite"})
	d.flag("privacy", "privacy.gdpr_compliant", before.GDPRCompliant, after.GDPRCompliant, true)
	d.flag("privacy", "privacy.hipaa_compliant", before.HIPAACompliant, after.HIPAACompliant, true)
	was, is := regionsOf(before), regionsOf(after)
	for _, region := range is {
		if was != nil && !slices.Contains(was, region) {
			d.breaking("privacy/region-added", "privacy.regions", "", region, "data may go to a further region")
		}
	}
	for _, region := range was {
		if is != nil && !slices.Contains(is, region) {
			d.additive("privacy/region-removed", "privacy.regions", region, "", "data no longer goes there")
		}
	}
	beforeOther, afterOther := before.Other, after.Other
	if was != nil && is != nil {
		beforeOther, afterOther = omit(beforeOther, "regions"), omit(afterOther, "regions")
	}
	d.others("privacy", "privacy", beforeOther, afterOther, map[string]direction{"retention_days": lower})
}

// regionsOf returns the regions that data may go to, nil if that is not stated as a list of names.
func regionsOf(p *Privacy) []string {
	list, ok := p.Other["regions"].([]any)
	if !ok {
		return nil
	}
	regions := []string{}
	for _, item := range list {
		name, ok := item.(string)
		if !ok {
			return nil
		}
		regions = append(regions, name)
	}
	return regions
}

func (d *differ) alignment(before, after *Alignment) {
	if before == nil {
		before = &Alignment{}
	}
	if after == nil {
		after = &Alignment{}
	}
	d.rank("alignment", "alignment.safety_level", before.SafetyLevel, after.SafetyLevel, []string{"critical", "high", "medium", "low"})
	d.flag("alignment", "alignment.content_filtering", before.ContentFiltering, after.ContentFiltering, true)
	d.flag("alignment", "alignment.bias_mitigation", before.BiasMitigation, after.BiasMitigation, true)
	d.flag("alignment", "alignment.toxicity_filtering", before.ToxicityFiltering, after.ToxicityFiltering, true)
	d.others("alignment", "alignment", before.Other, after.Other, nil)
}

func (d *differ) invariants(before, after *Contract) {
	used := map[string]bool{}
	for _, g := range before.Guarantees {
		used[g.Invariant] = true
	}
	index := func(list []Invariant, id string) int {
		return slices.IndexFunc(list, func(i Invariant) bool { return i.ID == id })
	}
	for _, was := range before.Invariants {
		path := tree.JoinPath("invariants", was.ID)
		i := index(after.Invariants, was.ID)
		switch {
		case i < 0 && used[was.ID]:
			d.breaking("invariant/removed", path, was.ID, "", "a guarantee was stated by it")
		case i < 0:
			d.add("invariant/removed", Neutral, Minor, path, was.ID, "", "no guarantee was stated by it")
		default:
			d.invariant(path, was, after.Invariants[i])
		}
	}
	for _, is := range after.Invariants {
		if index(before.Invariants, is.ID) < 0 {
			d.additive("invariant/added", tree.JoinPath("invariants", is.ID), "", is.ID, "is stated in addition")
		}
	}
}

func (d *differ) invariant(path string, before, after Invariant) {
	was, _ := before.Other["threshold"].(map[string]any)
	is, _ := after.Other["threshold"].(map[string]any)
	for _, side := range []struct {
		name   string
		better direction
	}{{"min", higher}, {"max", lower}} {
		x, okX := jsonvalue.Float(was[side.name])
		y, okY := jsonvalue.Float(is[side.name])
		d.number("invariant", path+".threshold."+side.name, floatOrNil(x, okX), floatOrNil(y, okY), side.better, true)
	}
	if before.Formula != after.Formula {
		d.undecided("invariant/formula-changed", path+".formula", before.Formula, after.Formula, "formulas are not compared")
	}
	if before.Description != after.Description || !reflect.DeepEqual(before.Verification, after.Verification) || !reflect.DeepEqual(before.Artifact, after.Artifact) {
		d.add("invariant/text", Neutral, Patch, path, "", "", fmt.Sprintf("how %s is described or verified has changed", after.ID))
	}
}
