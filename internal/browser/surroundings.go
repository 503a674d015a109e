package browser

import (
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
)

// Front makes it the tab that is seen; the others of its window are hidden.
func (tb *Tab) Front() {
	tb.T.Helper()
	tb.do("bring it to the front", call(page.BringToFront, cdp.Empty{}))
}

// Freeze stops a page that is hidden, as browsers do after some minutes, or
// lets it go on.
func (tb *Tab) Freeze(yes bool) {
	tb.T.Helper()
	state := page.SetWebLifecycleStateStateActive
	if yes {
		state = page.SetWebLifecycleStateStateFrozen
	}
	tb.do("freeze it", call(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state}))
}

// Offline takes the network away, or gives it back. told is whether the page
// hears of it.
func (tb *Tab) Offline(yes, told bool) {
	tb.T.Helper()
	tb.network(&network.Conditions{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1})
	if told {
		tb.do("tell of the network", call(network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}))
	}
}

// SlowUploads lets what the page sends through at so many bytes a second, or as
// fast as it goes with 0.
func (tb *Tab) SlowUploads(bytes int) {
	tb.T.Helper()
	if bytes == 0 {
		bytes = -1
	}
	tb.network(&network.Conditions{DownloadThroughput: -1, UploadThroughput: float64(bytes)})
}

func (tb *Tab) network(c *network.Conditions) {
	tb.T.Helper()
	tb.do("change the network", call(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{c},
	}))
}
