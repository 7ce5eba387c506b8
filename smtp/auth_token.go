package smtp

import (
	"context"
	"errors"
	"time"
)

// bearer is the last token of an Auth and the call that fetches the next one.
type bearer struct {
	token  string
	expiry time.Time
	call   *tokenCall
}

// tokenCall is one call of Auth.Token for all who wait.
type tokenCall struct {
	done  chan struct{}
	token string
	err   error
}

const (
	tokenMargin  = time.Minute // a token that ends sooner is not used any more
	tokenTimeout = time.Minute // for one call of Auth.Token
)

// token returns a token that is valid for a while. A caller whose context ends leaves the call to
// the others that wait for it.
func (a *Auth) token(ctx context.Context) (string, error) {
	a.mu.Lock()
	if a.bearer.token != "" && time.Until(a.bearer.expiry) > tokenMargin {
		defer a.mu.Unlock()
		return a.bearer.token, nil
	}
	call := a.bearer.call
	if call == nil {
		call = &tokenCall{done: make(chan struct{})}
		a.bearer.call = call
		go a.fetch(context.WithoutCancel(ctx), call)
	}
	a.mu.Unlock()
	select {
	case <-call.done:
		return call.token, call.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (a *Auth) fetch(ctx context.Context, call *tokenCall) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	token, expiry, err := a.Token(ctx)
	if err == nil && token == "" {
		err = errors.New("the token source returned an empty token")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	call.token, call.err = token, err
	a.bearer = bearer{}
	if err == nil {
		a.bearer.token, a.bearer.expiry = token, expiry
	}
	close(call.done)
}

// forget drops a token that a server has refused, so that the next login fetches another.
func (a *Auth) forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bearer.token == token {
		a.bearer.token = ""
	}
}
