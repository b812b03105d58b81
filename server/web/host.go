package web

import (
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// LoopbackHost says whether a request's Host, with or without a port, is localhost or a
// loopback address. With any other name the page may be one of another site, whose name
// now resolves to this machine (DNS rebinding).
func LoopbackHost(host string) bool {
	name := hostname(host)
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// hostname is a Host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// hostAllowed says whether the Host of a request is allowed. On a loopback address
// without TLS those of LoopbackHost and Config.Origins are allowed, and any that a
// trusted proxy passes on. Otherwise every name is allowed: a server on a network does
// not know its own names, and with TLS the browser has checked the certificate.
func (s *Server) hostAllowed(r *http.Request) bool {
	if !s.local || LoopbackHost(r.Host) {
		return true
	}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && s.trusts(from.Addr().Unmap()) {
		return true
	}
	whole, name := strings.ToLower(r.Host), strings.ToLower(hostname(r.Host))
	return slices.ContainsFunc(s.cfg.Origins, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		byPort, _ := path.Match(pattern, whole)
		byName, _ := path.Match(pattern, name)
		return byPort || byName
	})
}
