// Package browsertest tests the JavaScript client in Chromium: what no fake of a
// browser knows. It is a package of its own so that who imports reliablews does
// not fetch what drives a browser.
package browsertest
