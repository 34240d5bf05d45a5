package codex

import "context"

// What the tests of package codex_test see of the inside.
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

// Ask calls the model for an answer in one piece, Stream for one in pieces.
func (p *Provider) Ask(ctx context.Context, asked Prompt) (*Response, error) {
	return p.upstream.Handle(ctx, asked)
}

func (p *Provider) Stream(ctx context.Context, asked Prompt, send func(Delta) error) (*Response, error) {
	return p.upstream.HandleStream(ctx, asked, send)
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
