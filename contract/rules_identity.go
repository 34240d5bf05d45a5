package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

var twoNumbers = regexp.MustCompile(`^v?(\d+)(\.\d+)?$`)

func checkVersion(k *checker) {
	version := k.contract.Version
	if n := k.find("version"); version != "" && !isVersion(version) {
		fix := "write three numbers, such as 1.0.0"
		if m := twoNumbers.FindStringSubmatch(version); m != nil && m[2] == "" {
			fix = "write " + strconv.Quote(m[1]+".0.0")
		} else if m != nil {
			fix = "write " + strconv.Quote(m[1]+m[2]+".0")
		} else if isVersion(version[1:]) {
			fix = "write " + strconv.Quote(version[1:])
		}
		k.add(n, "contract/version", fix, "%q is not a version by Semantic Versioning 2.0.0", n.Scalar)
	}
}

func checkCapabilities(k *checker) {
	list := k.contract.Capabilities
	key := func(i int) string {
		if list[i].Type == "" {
			return ""
		}
		parameters := k.find("capabilities", strconv.Itoa(i), "parameters")
		if parameters == nil {
			return list[i].Type
		}
		return string(parameters.AppendCanonical([]byte(list[i].Type + " ")))
	}
	indexes := make([]int, len(list))
	for i := range indexes {
		indexes[i] = i
	}
	for later, earlier := range duplicates(indexes, key) {
		n := k.find("capabilities", strconv.Itoa(later))
		k.addKey(n, "capability/duplicate", "remove one of the two, or give them different parameters",
			"%s is already capability %d", list[later].Type, earlier)
	}
	for i, c := range list {
		if c.Accuracy == nil {
			continue
		}
		low := k.find("capabilities", strconv.Itoa(i), "accuracy", "min")
		k.ratio(low, "capability/ratio-range", "accuracy min")
		k.ratio(k.find("capabilities", strconv.Itoa(i), "accuracy", "target"), "capability/ratio-range", "accuracy target")
		if c.Accuracy.Min != nil && c.Accuracy.Target != nil && *c.Accuracy.Min > *c.Accuracy.Target {
			k.add(low, "capability/min-over-target", "min is the promise, target the aim: min <= target",
				"accuracy min %v is above target %v", *c.Accuracy.Min, *c.Accuracy.Target)
		}
	}
	checkCapabilityEndpoints(k)
}

// checkCapabilityEndpoints looks at capabilities that say by which endpoint they are served, as "POST /review", as
// "/review" or by the endpoint's id.
func checkCapabilityEndpoints(k *checker) {
	var known []string
	for i, e := range k.contract.API.Endpoints {
		known = append(known, e.String(), e.Path)
		if id := k.find("api", "endpoints", strconv.Itoa(i), "id").Text(); id != "" {
			known = append(known, id)
		}
	}
	for i := range k.contract.Capabilities {
		n := k.find("capabilities", strconv.Itoa(i), "endpoint")
		if name := n.Text(); name != "" && !slices.Contains(known, name) {
			fix := ""
			if near := nearest(name, known); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			k.add(n, "capability/unknown-endpoint", fix, "no endpoint is called %q", name)
		}
	}
}
