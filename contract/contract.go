package contract

// A Contract is what one service promises and demands, as its author wrote it down.
//
// A Contract comes from [Load], [LoadFile] or [Parse] and from nowhere else: if you hold one, it is valid. It is
// immutable: do not modify what its fields point at. It is safe for concurrent use.
//
// The same contract in another shape (nested under "service:" or flat with "service_id", YAML or JSON, capabilities as
// text or as objects) loads to an equal value: see [Contract.Equal], which also serves go-cmp.
type Contract struct {
	ID          string // lowercase letters, digits, "-" and "_", for example "codex-bridge-001"
	Name        string // for people
	Version     string // of the contract, Semantic Versioning 2.0.0
	Description string // "" if absent

	Capabilities []Capability   // in the author's order, at least one, no type twice with equal parameters
	Guarantees   []Guarantee    // sorted by name, then property; nil if absent
	Cost         *Cost          // nil if absent
	Privacy      *Privacy       // nil if absent
	Alignment    *Alignment     // nil if absent
	Constraints  Constraints    // the zero value demands nothing
	API          API            // always present
	Invariants   []Invariant    // in the author's order; nil if absent
	Metadata     Metadata       // the zero value if absent
	Extensions   map[string]any // members whose names start with "x-" beside the ones above; nil if none

	document *document
}

// A Capability is one thing that the service can do.
type Capability struct {
	Type       string         // for example "code_generation"
	Accuracy   *Accuracy      // nil if not stated
	Capacity   map[string]any // for example max_tokens; JSON values, nil if absent
	Parameters map[string]any // JSON values, nil if absent
}

// Accuracy says how often a capability's answers are right, as ratios from 0 to 1.
type Accuracy struct {
	Min    *float64 // promised; nil if not stated
	Target *float64 // aimed at; nil if not stated
}

// A Guarantee is a measurable promise.
type Guarantee struct {
	Name      string // the author's key: "latency", "accuracy", "determinism", "throughput" or their own
	Property  string // what is measured, for example "p95_latency_ms"
	Bound     Bound
	Invariant string // id of the invariant that states it; "" if none
}

// A Bound limits a property. Nil fields do not limit.
type Bound struct {
	Min          *float64
	Max          *float64
	SeedRequired *bool          // for determinism: whether the caller must send a seed
	Other        map[string]any // further members, for example type, max_deviation, max_ratio, formula; nil if none
}

// Cost says what a call costs. Prices are in Currency, token prices per token.
type Cost struct {
	Model     string // "per_token", "per_request", "free" and so on
	BaseCost  *float64
	TokenCost *float64
	Currency  string         // ISO 4217, "" if not stated
	Other     map[string]any // further members; nil if none
}

// Privacy says where data goes and how it is kept.
type Privacy struct {
	DataLocality   string // "on_device", "local", "regional", "cloud"
	Encryption     *bool
	EncryptionType string // "tls", "mtls", "end_to_end", "none"; "" if not stated
	DataRetention  string
	GDPRCompliant  *bool
	HIPAACompliant *bool
	Other          map[string]any // further members; nil if none
}

// Alignment says how the service is kept safe.
type Alignment struct {
	SafetyLevel       string // "low", "medium", "high", "critical"; "" if not stated
	ContentFiltering  *bool
	BiasMitigation    *bool
	ToxicityFiltering *bool
	Other             map[string]any // further members; nil if none
}

// Constraints are what the service demands of its callers and surroundings. Zero and nil mean "not limited".
type Constraints struct {
	MaxConcurrentRequests int            // calls in progress at the same time
	RateLimit             RateLimit      // calls admitted per window
	MaxContextTokens      int            // context_length.max_tokens: tokens of input per call
	RequiresInternet      *bool          // nil if not stated
	RequiresGPU           *bool          // nil if not stated
	Other                 map[string]any // further members, bounds such as timeout_ms among them; nil if none
}

// RateLimit bounds the calls admitted in any window of the named length. Zero means "not limited".
type RateLimit struct {
	PerSecond, PerMinute, PerHour, PerDay int
}

// API says how the service is called.
type API struct {
	Protocol  string     // "http", "grpc" or "native"
	BaseURL   string     // absolute http or https URL without user, query, fragment or a slash at its end
	Endpoints []Endpoint // in the author's order, at least one, no method and path twice
}

// An Endpoint is one operation of the API.
type Endpoint struct {
	Method string // in capitals, for example "POST"
	Path   string // starts with "/"

	// InputSchema and OutputSchema check request and response bodies. They are nil if the contract names none, and
	// also if it names a file that could not be opened because the contract came from [Parse].
	InputSchema, OutputSchema *Schema

	// InputFile and OutputFile name the schema files as the author wrote them, "" for none and for inline schemas.
	InputFile, OutputFile string
}

// String returns the endpoint as a pattern of [net/http.ServeMux]: "POST /generate".
func (e Endpoint) String() string { return e.Method + " " + e.Path }

// An Invariant is a statement that can be checked.
type Invariant struct {
	ID          string
	Description string
	Formula     string
	// Verification and Artifact say how it is checked and where the outcome lies: text (a path) or an object, as the
	// author wrote them; nil if absent.
	Verification, Artifact any
	Other                  map[string]any // further members, for example threshold; nil if none
}

// Metadata is for people and catalogues. It promises nothing.
type Metadata struct {
	Tags             []string
	Category         string
	Provider         string
	DocumentationURL string
	APIVersion       string
	Other            map[string]any // further members; nil if none
}

// Equal reports whether both contracts say the same, in whatever shape each was written. Two nil contracts are equal.
func (c *Contract) Equal(other *Contract) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.Digest() == other.Digest()
}
