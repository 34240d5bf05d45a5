package codex

import "context"

// Unexported types for the tests of package codex_test.
type (
	Response         = response
	CallContext      = callContext
	Delta            = delta
	File             = file
	Finding          = finding
	GenerateRequest  = generateRequest
	GenerateResponse = generateResponse
	Generation       = generation
	Location         = location
	Prompt           = prompt
	Review           = review
	ReviewRequest    = reviewRequest
	ReviewResponse   = reviewResponse
	Usage            = usage
)

func (p Prompt) Instructions() string { return p.instructions }
func (p Prompt) Input() string        { return string(p.render()) }
func (p Prompt) MaxTokens() int       { return p.maxTokens }
func (p Prompt) Schema() string       { return p.schema }

// Ask calls the model without streaming.
func (p *Provider) Ask(ctx context.Context, prompt Prompt) (*Response, error) {
	return p.upstream.Handle(ctx, prompt)
}

// Stream calls the model with streaming.
func (p *Provider) Stream(ctx context.Context, prompt Prompt, emit func(Delta) error) (*Response, error) {
	return p.upstream.HandleStream(ctx, prompt, emit)
}

// ReadMembers feeds the pieces of a JSON object to a streamingMembers.
func ReadMembers(pieces []string, emit func(name, text string) error) error {
	r := streamingMembers{emit: emit}
	for _, piece := range pieces {
		if err := r.write(piece); err != nil {
			return err
		}
	}
	return nil
}
