package contract

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

func checkCost(k *checker) {
	cost := k.contract.Cost
	if cost == nil {
		return
	}
	prices := []*tree.Node{}
	for _, m := range k.find("cost").Members {
		if m.Value.Kind != tree.Number || m.Key != "base_cost" && m.Key != "token_cost" && !strings.HasPrefix(m.Key, "per_") {
			continue
		}
		if *m.Value.Float() < 0 {
			k.add(m.Value, "cost/negative", "write 0 or more", "the price %s is negative", m.Value.Scalar)
		} else if *m.Value.Float() > 0 {
			prices = append(prices, m.Value)
		}
	}
	if n := k.find("cost", "currency"); cost.Currency != "" && !knownCurrency(cost.Currency) {
		fix := "write three capitals such as USD or EUR"
		if upper := strings.ToUpper(cost.Currency); knownCurrency(upper) {
			fix = "write " + upper
		}
		k.add(n, "cost/currency", fix, "%q is not a currency code of ISO 4217", cost.Currency)
	}
	model := k.find("cost", "model")
	switch {
	case cost.Model == "per_token" && cost.TokenCost == nil && !hasMember(cost.Other, "token"):
		k.add(model, "cost/model-field", "add  token_cost: …", "the model per_token needs a price per token")
	case cost.Model == "per_request" && cost.BaseCost == nil && !hasMember(cost.Other, "request"):
		k.add(model, "cost/model-field", "add  base_cost: …", "the model per_request needs a price per request")
	case cost.Model == "free" && len(prices) > 0:
		k.add(prices[0], "cost/model-field", "remove the price, or name another model", "the model is free, but there is a price of %s", prices[0].Scalar)
	}
}

// knownCurrency checks the form only: the list of codes changes.
func knownCurrency(code string) bool { return currencyCode.MatchString(code) }

func hasMember(other map[string]any, part string) bool {
	for name := range other {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

var retentionDays = regexp.MustCompile(`\b([1-9][0-9]*) ?(d|days?)\b`)

func checkPrivacy(k *checker) {
	p := k.contract.Privacy
	if p == nil {
		return
	}
	kind := k.find("privacy", "encryption_type")
	switch {
	case isFalse(p.Encryption) && p.EncryptionType != "" && p.EncryptionType != "none":
		k.add(kind, "privacy/encryption-contradiction", "write  encryption: true,  or  encryption_type: none", "encryption is false, but its type is %s", p.EncryptionType)
	case isTrue(p.Encryption) && p.EncryptionType == "none":
		k.add(kind, "privacy/encryption-contradiction", "name the type, or write  encryption: false", "encryption is true, but its type is none")
	}
	if isTrue(p.HIPAACompliant) && (isFalse(p.Encryption) || p.EncryptionType == "none") {
		k.add(k.find("privacy", "hipaa_compliant"), "privacy/hipaa-unencrypted", "encrypt, or write  hipaa_compliant: false",
			"HIPAA compliance is promised without encryption")
	}
	retention := strings.ToLower(p.DataRetention)
	days := k.find("privacy", "retention_days")
	if kept := days.Float(); kept != nil && *kept > 0 && (retention == "none" || retention == "session") {
		k.add(days, "privacy/retention-contradiction", "write 0, or how long data is kept as data_retention",
			"data_retention is %s, but data is kept for %s days", retention, days.Scalar)
	} else if m := retentionDays.FindString(retention); m != "" && (strings.HasPrefix(retention, "none") || strings.HasPrefix(retention, "session")) {
		k.add(k.find("privacy", "data_retention"), "privacy/retention-contradiction", "say one of the two", "data is said not to be kept and to be kept for %s", m)
	}
}

// checkRateLimit demands that limits do not shrink from a shorter window to a longer one.
func checkRateLimit(k *checker) {
	r := k.contract.Constraints.RateLimit
	windows := []struct {
		name  string
		limit int
	}{{"per_second", r.PerSecond}, {"per_minute", r.PerMinute}, {"per_hour", r.PerHour}, {"per_day", r.PerDay}}
	shorter := windows[0]
	for _, w := range windows[1:] {
		if w.limit == 0 {
			continue
		}
		if shorter.limit > w.limit {
			k.add(k.find("constraints", "rate_limit", w.name), "rate-limit/order", "write at least "+strconv.Itoa(shorter.limit)+", or lower "+shorter.name,
				"%s %d can never be reached: %s admits only %d", shorter.name, shorter.limit, w.name, w.limit)
		}
		shorter = w
	}
}

var checkSyntax = regexp.MustCompile(`^\s*[A-Za-z_][A-Za-z0-9_.\[\]()]*\s*(<=|>=|==|!=|<|>)\s*\S+\s*$`)

func checkInvariants(k *checker) {
	id := func(i located[Invariant]) string { return i.value.ID }
	for later, earlier := range duplicates(k.invariants, id) {
		k.add(cmp.Or(k.invariants[later].node.Get("id"), k.invariants[later].node), "invariant/duplicate", "give it an id of its own",
			"%s is already invariant %d (line %d)", k.invariants[later].value.ID, earlier, k.invariants[earlier].node.At.Line)
	}
	for _, invariant := range k.invariants {
		for _, n := range items(invariant.node.Find("artifact", "checks")) {
			if n.Kind != tree.Text || !checkSyntax.MatchString(n.Scalar) {
				k.add(n, "invariant/check-syntax", "write a name, an operator and a number, such as  error_rate <= 0.01", "%s is not a check", n.Describe())
			}
		}
	}
}
