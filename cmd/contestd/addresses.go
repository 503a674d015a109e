package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// printAddresses tells the person at the terminal what to open, and the
// password if it was made up just now: it is shown nowhere else, ever.
func printAddresses(w io.Writer, cfg *config, addr net.Addr, madeUp string) {
	port := strconv.Itoa(cfg.Port)
	if tcp, ok := addr.(*net.TCPAddr); ok {
		port = strconv.Itoa(tcp.Port)
	}
	site := "http://" + net.JoinHostPort("localhost", port)

	fmt.Fprintf(w, "The contest is open.\n\n")
	fmt.Fprintf(w, "  feed      %s/\n", site)
	fmt.Fprintf(w, "  winners   %s/winners.html\n", site)
	fmt.Fprintf(w, "  admin     %s/admin\n", site)
	for _, ip := range lanAddresses() {
		fmt.Fprintf(w, "  in the hall  http://%s/\n", net.JoinHostPort(ip.String(), port))
	}
	fmt.Fprintf(w, "  state     %s\n\n", cfg.StateDir)
	switch {
	case madeUp != "":
		fmt.Fprintf(w, "  admin login: user %q, password %q\n", cfg.AdminUser, madeUp)
		fmt.Fprintf(w, "  The password was made up now and is not shown again; set ADMIN_PASSWORD to choose your own.\n\n")
	case cfg.AdminPassword == "":
		fmt.Fprintf(w, "  admin login: user %q, the password shown at the first start\n", cfg.AdminUser)
		fmt.Fprintf(w, "  Lost it? Delete %s and start again, or set ADMIN_PASSWORD.\n\n", passwordPath(cfg))
	default:
		fmt.Fprintf(w, "  admin login: user %q, the password you chose\n\n", cfg.AdminUser)
	}
	fmt.Fprintf(w, "Ctrl-C stops it; nothing that was acknowledged is lost, however it ends.\n")
}

// lanAddresses returns the private addresses under which phones in the hall
// reach this machine, at most three.
func lanAddresses() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // a convenience: localhost is printed in any case
	}
	var lan []netip.Addr
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && prefix.Addr().IsPrivate() {
			lan = append(lan, prefix.Addr())
		}
	}
	slices.SortFunc(lan, netip.Addr.Compare)
	return lan[:min(len(lan), 3)]
}
