package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"chatbench/core/wire"
	"chatbench/internal/tlsflags"
)

// ErrTLS is that a server could not be spoken to by TLS, or made sure of. The text
// says why and what to do, in flags of chat.
var ErrTLS = errors.New("client: no TLS")

// secure shakes hands on a connection, which it closes if that fails.
func secure(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, error) {
	own := cfg.TLS.Clone()
	own.NextProtos = []string{wire.Protocol}
	if own.ServerName == "" {
		own.ServerName, _, _ = net.SplitHostPort(cfg.Server) // Check has split it before
	}
	c := tls.Client(conn, own)
	err := c.HandshakeContext(ctx)
	if err == nil {
		return c, nil
	}
	conn.Close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: no TLS handshake with %s: %w", cfg.Server, ctx.Err())
	}
	return nil, fmt.Errorf("%w with %s: %w", ErrTLS, cfg.Server, tlsflags.Explain(err, own.ServerName))
}

// speaksTLS says whether the first octets of a server are a TLS alert, which is how
// many servers answer one who does not speak it. No frame begins so.
func speaksTLS(first []byte) bool {
	const alert = 0x15
	return len(first) > 1 && first[0] == alert && first[1] == 3
}
