package contract

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

func warnCost(k *checker) {
	cost := k.contract.Cost
	if cost == nil {
		return
	}
	n := k.find("cost")
	if cost.Currency == "" && cost.Model != "free" && (isPositive(cost.BaseCost) || isPositive(cost.TokenCost)) {
		k.addKey(n, "cost/currency-missing", "add  currency: USD", "the prices have no currency")
	}
	if cost.Model == "per_request" && isPositive(cost.TokenCost) {
		k.addKey(n.Get("token_cost"), "cost/field-unused-by-model", "remove it, or write  model: per_token", "the model per_request does not use a price per token")
	}
}

func isPositive(f *float64) bool { return f != nil && *f > 0 }

func warnPrivacy(k *checker) {
	p := k.contract.Privacy
	if p == nil {
		return
	}
	host := k.contract.API.host()
	near := p.DataLocality == "on_device" || p.DataLocality == "local"
	if near && isPublic(host) {
		k.add(k.find("privacy", "data_locality"), "privacy/locality-url", "write  data_locality: cloud",
			"data is said to stay %s, but goes to the public host %s", p.DataLocality, host)
	}
	if regions := k.find("privacy", "regions"); near && regions != nil {
		k.addKey(regions, "privacy/regions-unused", "remove them, or write  data_locality: regional", "regions mean nothing for data that stays %s", p.DataLocality)
	}
	switch strings.ToLower(p.DataRetention) {
	case "indefinite", "forever", "unlimited", "permanent":
		if isTrue(p.GDPRCompliant) {
			k.add(k.find("privacy", "data_retention"), "privacy/gdpr-indefinite", "name a period", "data is kept without limit, but GDPR compliance is promised")
		}
	}
	promised := isTrue(p.Encryption) && p.EncryptionType != "none"
	if base := k.find("api", "base_url"); promised && isLoopback(host) && strings.HasPrefix(strings.ToLower(base.Text()), "http://") {
		k.add(base, "privacy/plain-loopback", "write https:// before others can reach the service", "encryption is promised, but base_url is plain http on this machine")
	}
}

func warnAlignment(k *checker) {
	a := k.contract.Alignment
	if a != nil && (a.SafetyLevel == "high" || a.SafetyLevel == "critical") && isFalse(a.ContentFiltering) {
		k.add(k.find("alignment", "content_filtering"), "alignment/unfiltered", "filter content, or lower safety_level",
			"safety_level is %s without content filtering", a.SafetyLevel)
	}
}

// warnRateLimit looks for limits that a shorter window keeps from being reached.
func warnRateLimit(k *checker) {
	r := k.contract.Constraints.RateLimit
	windows := []struct {
		name           string
		limit, seconds int
	}{{"per_second", r.PerSecond, 1}, {"per_minute", r.PerMinute, 60}, {"per_hour", r.PerHour, 3600}, {"per_day", r.PerDay, 86400}}
	for i, long := range windows {
		for _, short := range windows[:i] {
			most := float64(short.limit) * float64(long.seconds/short.seconds)
			if short.limit > 0 && long.limit > 0 && float64(long.limit) > most {
				k.add(k.find("constraints", "rate_limit", long.name), "rate-limit/unreachable", "lower it, or raise "+short.name,
					"%s %d is never reached: %s %d admits %.0f", long.name, long.limit, short.name, short.limit, most)
				break
			}
		}
	}
}

func warnInternet(k *checker) {
	if host := k.contract.API.host(); isFalse(k.contract.Constraints.RequiresInternet) && isPublic(host) {
		k.add(k.find("constraints", "requires_internet"), "constraints/internet", "write  requires_internet: true",
			"the service is at the public address %s and so cannot be reached without internet", host)
	}
}

// warnSchemaLimits compares limits of the service with what its input schemas admit or demand.
func warnSchemaLimits(k *checker) {
	bytes := k.find("constraints", "max_request_bytes")
	for i, e := range k.contract.API.Endpoints {
		if e.InputSchema == nil {
			continue
		}
		n := k.find("api", "endpoints", strconv.Itoa(i), "input_schema")
		top, _ := e.InputSchema.inner.Document().(map[string]any)
		properties, _ := top["properties"].(map[string]any)
		tokens, _ := properties["max_tokens"].(map[string]any)
		if most, ok := tokens["maximum"].(float64); ok && k.contract.Constraints.MaxContextTokens > 0 && most > float64(k.contract.Constraints.MaxContextTokens) {
			k.add(n, "constraints/tokens", "lower the maximum in the schema, or raise context_length",
				"%s admits max_tokens up to %s, context_length only %d", e, number(most), k.contract.Constraints.MaxContextTokens)
		}
		for _, name := range names(top) {
			text, _ := properties[name].(map[string]any)
			if least, ok := text["minLength"].(float64); ok && bytes.Is(tree.Number) && least > *bytes.Float() {
				k.add(n, "constraints/bytes", "lower minLength, or raise max_request_bytes",
					"%s demands %s characters of %q, but max_request_bytes is %s", e, number(least), tree.Shorten(name), bytes.Scalar)
			}
		}
	}
}

func warnEndpoints(k *checker) {
	list := k.contract.API.Endpoints
	health := false
	segments := make([][]string, len(list)) // of the paths
	for i, e := range list {
		n := k.find("api", "endpoints", strconv.Itoa(i))
		health = health || e.Method == "GET" && (e.Path == "/health" || e.Path == "/healthz")
		body := e.Method == "POST" || e.Method == "PUT" || e.Method == "PATCH"
		input := n.Get("input_schema")
		switch {
		case body && input == nil:
			k.addKey(n, "endpoint/no-schema", "add  input_schema: schemas/….json", "%s takes a body, but has no input_schema", e)
		case e.Method == "GET" || e.Method == "HEAD":
			if member := noParameter(e.InputSchema); member != "" {
				k.addKey(input, "endpoint/get-body", "write  method: POST", "%s has no body, and %q of its input_schema cannot come from a path or a query", e, member)
			}
		}
		segments[i] = strings.Split(erased(e.Path), "/")
		for j, other := range list[:i] {
			if e.Method == other.Method && overlap(segments[i], segments[j]) {
				k.add(n.Get("path"), "endpoint/ambiguous", "give one of them another path", "%s and endpoint %d (%s) can both answer a request", e, j, other.Path)
				break
			}
		}
	}
	if !health && k.contract.API.Protocol == "http" {
		k.addKey(k.find("api", "endpoints"), "api/no-health", "add  path: /health, method: GET", "there is no endpoint GET /health")
	}
}

// noParameter returns a member that a schema describes and that no text of a URL, nor several, can stand for.
func noParameter(s *Schema) string {
	if s == nil {
		return ""
	}
	top, _ := s.inner.Document().(map[string]any)
	properties, _ := top["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		member, _ := properties[name].(map[string]any)
		items, _ := member["items"].(map[string]any)
		if member["type"] == "object" || member["type"] == "array" && (items["type"] == "object" || items["type"] == "array") {
			return name
		}
	}
	return ""
}

// overlap reports whether one request path can fit both.
func overlap(a, b []string) bool {
	if len(a) != len(b) || slices.Equal(a, b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && a[i] != "{}" && b[i] != "{}" {
			return false
		}
	}
	return true
}

// warnSchemas looks at the top of input and output schemas.
func warnSchemas(k *checker) {
	for i, e := range k.contract.API.Endpoints {
		n := k.find("api", "endpoints", strconv.Itoa(i))
		if e.InputSchema != nil {
			top, _ := e.InputSchema.inner.Document().(map[string]any)
			properties, _ := top["properties"].(map[string]any)
			for _, name := range names(top) {
				if schema, ok := properties[name].(map[string]any); ok && untyped(schema) {
					k.add(n.Get("input_schema"), "schema/untyped", "add  type: …", "the member %q of %s may be anything", tree.Shorten(name), e)
				}
			}
		}
		if e.OutputSchema != nil {
			top, ok := e.OutputSchema.inner.Document().(map[string]any)
			if ok && untyped(top) || top["type"] == "object" && top["properties"] == nil && top["required"] == nil && untyped(without(top, "type")) {
				k.add(n.Get("output_schema"), "schema/open-output", "list properties and what is required", "the answers of %s may be anything", e)
			}
		}
	}
}

// untyped reports whether a schema admits values of all types.
func untyped(schema map[string]any) bool {
	for _, keyword := range []string{"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "not", "if", "properties", "required", "items"} {
		if schema[keyword] != nil {
			return false
		}
	}
	return true
}

func without(schema map[string]any, keyword string) map[string]any {
	rest := map[string]any{}
	for name, value := range schema {
		if name != keyword {
			rest[name] = value
		}
	}
	return rest
}

// secret finds texts that have the form of well-known keys and tokens.
var secret = regexp.MustCompile(`\b(sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})`)

func warnSecrets(k *checker) {
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		if n.Kind == tree.Text && secret.MatchString(n.Scalar) {
			k.add(n, "api/secret", "remove it, and revoke it if it is real", "this looks like a key or token")
			k.hideLast() // it would repeat the key
		}
		for _, item := range n.Items {
			walk(item)
		}
		for _, m := range n.Members {
			walk(m.Value)
		}
	}
	walk(k.flat)
}
