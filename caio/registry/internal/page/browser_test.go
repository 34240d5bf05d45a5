package page_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newBrowser starts Chromium without a window, and ends it with the test.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && program == "" {
			program = path
		}
	}
	if program == "" {
		const sentence = "Chromium is not installed; with it (apt-get install chromium) the page is tried in a browser"
		if os.Getenv("CI") != "" {
			t.Fatal(sentence)
		}
		t.Skip(sentence)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	browser, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil {
			t.Errorf("Chromium did not end: %v", err)
		}
		stop()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return browser
}

// A tab is a page in a profile of its own.
type tab struct {
	context.Context
	t      *testing.T
	mu     sync.Mutex
	faults []string // what the browser complained about
}

func newTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, _ := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("the tab did not close: %v", err)
		}
	})
	p := &tab{t: t}
	err := chromedp.Listen(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			p.faults = append(p.faults, fmt.Sprintf("%s %v", event.ExceptionDetails.Text, event.ExceptionDetails.Exception))
		case *cdplog.EventEntryAdded:
			p.faults = append(p.faults, fmt.Sprintf("%s: %s %s", event.Entry.Source, event.Entry.Text, event.Entry.URL))
		case *runtime.EventConsoleAPICalled:
			p.faults = append(p.faults, fmt.Sprintf("console.%s", event.Type))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var expire context.CancelFunc
	p.Context, expire = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(expire)
	return p
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p, actions...); err != nil {
		p.t.Fatalf("%v\nthe browser says: %q", err, p.complaints())
	}
}

// value returns what an action does.
func value[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p, action)
	if err != nil {
		p.t.Fatalf("%v\nthe browser says: %q", err, p.complaints())
	}
	return v
}

// until waits until an expression is true in the page. chromedp's own Poll evaluates text in the page, which the page's
// policy forbids.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p, time.Minute)
	defer cancel()
	wait := fmt.Sprintf(`new Promise(done => { const check = () => (%s) ? done() : setTimeout(check, 20); check(); })`, expression)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](wait, chromedp.EvalAwaitPromise)); err != nil {
		p.t.Fatalf("never: %s: %v\nthe browser says: %q\nthe page says:\n%s", expression, err, p.complaints(), p.text("body"))
	}
}

// text returns what an element shows.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return value(p, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q).innerText", selector)))
}

func (p *tab) shows(selector string, wants ...string) {
	p.t.Helper()
	text := p.text(selector)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			p.t.Errorf("%s does not show %q, but:\n%s", selector, want, text)
		}
	}
}

func (p *tab) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

func (p *tab) quiet() {
	p.t.Helper()
	if faults := p.complaints(); len(faults) > 0 {
		p.t.Errorf("the browser complains: %q", faults)
	}
}

func row(id string) string {
	return fmt.Sprintf(`document.querySelector('#rows tr[data-id="%s"]')`, id)
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/"
}

func TestPageInBrowser(t *testing.T) {
	browser := newBrowser(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"nothing yet": nothingYet, "services come and go": servicesComeAndGo, "decisions": decisionsAreExplained, "phone": phone, "colours": colours,
		"no JavaScript": withoutJavaScript, "assistance": withAssistance, "token": withToken, "restart": restart,
	} {
		t.Run(name, func(t *testing.T) { test(t, browser) })
	}
}

func nothingYet(t *testing.T, browser context.Context) {
	reg, err := registry.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newTab(t, browser)
	p.do(chromedp.Navigate(serve(t, reg)))
	p.until(`document.querySelector('#live').textContent === 'Live'`)
	p.shows("#services", "0 services", "No service is registered yet.")
	p.shows("#decisions", "None yet.", "No decision is selected")
	if _, err := reg.Register(t.Context(), parse(t, services[0]), nil); err != nil {
		t.Fatal(err)
	}
	p.until(row("copilot-bridge-001") + ` !== null`)
	if err := reg.Unregister(t.Context(), "copilot-bridge-001"); err != nil {
		t.Fatal(err)
	}
	p.until(`document.querySelectorAll('#rows tr').length === 0 && document.querySelector('#empty').checkVisibility()`)
	p.quiet()
}

func servicesComeAndGo(t *testing.T, browser context.Context) {
	reg := newRegistry(t, nil)
	p := newTab(t, browser)
	p.do(chromedp.Navigate(serve(t, reg)))
	p.until(`document.querySelectorAll('#rows tr').length === 6 && document.querySelector('#live').textContent === 'Live'`)
	p.do(chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))
	if _, err := reg.Register(t.Context(), parse(t, hostile), nil); err != nil {
		t.Fatal(err)
	}
	p.until(row("evil-001") + ` !== null`)
	p.shows("#news", "evil-001 appeared")
	p.shows(`tr[data-id="evil-001"]`, "<script>document.title", "<b>bold</b>{{.Version}}", `"><svg/onload=alert(2)>`)
	p.until(row("evil-001") + `.querySelectorAll('script, img, svg, b, a[href]').length === 0 && document.title === 'CAIO registry'`)
	if err := reg.Unregister(t.Context(), "translator-001"); err != nil {
		t.Fatal(err)
	}
	p.until(row("translator-001") + ` === null`)
	p.shows("#news", "translator-001 disappeared")
	p.shows("#count", "6 services")
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "speech"))
	p.until(`document.querySelectorAll('#rows tr').length === 1 && ` + row("deepgram-voice") + ` !== null`)
	p.shows("#count", "1 of 6 services")
	p.until(`window.sameDocument === true && location.search === '?q=speech'`)
	p.quiet()
}

func decisionsAreExplained(t *testing.T, browser context.Context) {
	reg := newRegistry(t, nil)
	most := 5000.0
	made, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_generation"}, Guarantees: map[string]contract.Bound{"p95_latency_ms": {Max: &most}}})
	if err != nil {
		t.Fatal(err)
	}
	p := newTab(t, browser)
	p.do(chromedp.Navigate(serve(t, reg)))
	p.until(`document.querySelector('#recent a') !== null`)
	p.do(chromedp.Click(chromedp.CSS("#recent a")))
	p.until(`document.querySelector('#decision').dataset.id !== undefined`)
	p.shows("#decision-title", "copilot-bridge-001 was chosen")
	p.shows("#decision", made.DecisionID, "it meets every requirement", "copilot-bridge-001 (chosen)", "codex-bridge-001", "0.82",
		"ollama-local", "promises p95_latency_ms <= 9000, <= 5000 was required", "contract_matching", "all hold", "sha256:")

	p.do(chromedp.SendKeys(chromedp.CSS("#capability"), "chat"), chromedp.SendKeys(chromedp.CSS("#latency"), "100"), chromedp.Click(chromedp.CSS("#ask button")))
	p.until(`document.querySelector('#decision-title').textContent === 'No service matches'`)
	p.shows("#decision", "What the nearest fail", "ollama-local", "<= 9000, <= 100 was required")
	p.until(`document.activeElement.id === 'decision-title'`)
	p.until(`document.querySelectorAll('#recent a').length === 2 && document.querySelector('#recent a[aria-current]').textContent.startsWith('no match')`)

	p.do(chromedp.SetValue(chromedp.CSS("#capability"), "flight"), chromedp.Clear(chromedp.CSS("#latency")), chromedp.Click(chromedp.CSS("#ask button")))
	p.until(`document.querySelector('#decision').innerText.includes('Nobody offers')`)
	p.quiet()
}

func phone(t *testing.T, browser context.Context) {
	reg := newRegistry(t, nil)
	if _, err := reg.Register(t.Context(), parse(t, hostile), nil); err != nil {
		t.Fatal(err)
	}
	made, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_generation"}})
	if err != nil {
		t.Fatal(err)
	}
	p := newTab(t, browser)
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile), chromedp.Navigate(serve(t, reg)+"#"+made.DecisionID))
	p.until(`document.querySelectorAll('#rows tr').length === 7 && document.querySelector('#decision').dataset.id !== undefined`)
	p.until(`innerWidth === 390 && document.documentElement.scrollWidth <= 390`)
	p.shows(`tr[data-id="ollama-local"]`, "Ollama, on the device", "deterministic output with a seed", "–")
	p.quiet()
}

// worstContrast is that of the text whose colour is nearest to its background's (WCAG 2.2, contrast ratio).
const worstContrast = `(() => {
	const luminance = rgb => rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const colour = text => text.match(/[\d.]+/g).map(Number);
	const behind = at => {
		for (; at; at = at.parentElement) {
			const c = colour(getComputedStyle(at).backgroundColor);
			if (c.length === 3) return c;
		}
		return [255, 255, 255];
	};
	let worst = { ratio: 21, text: '' };
	for (const at of document.body.querySelectorAll('*')) {
		const own = [...at.childNodes].some(n => n.nodeType === 3 && n.data.trim());
		if (!own || !at.checkVisibility() || ['SCRIPT', 'NOSCRIPT'].includes(at.nodeName)) continue;
		const [a, b] = [luminance(colour(getComputedStyle(at).color).slice(0, 3)), luminance(behind(at))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < worst.ratio) worst = { ratio, text: at.outerHTML.slice(0, 200) };
	}
	return worst;
})()`

func colours(t *testing.T, browser context.Context) {
	reg := newRegistry(t, nil)
	made, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_generation"}})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, reg) + "#" + made.DecisionID
	var grounds [2]string
	for i, scheme := range []string{"light", "dark"} {
		p := newTab(t, browser)
		if _, err := chromedp.Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
			t.Fatal(err)
		}
		p.do(chromedp.Navigate(url))
		p.until(`document.querySelector('#decision').dataset.id !== undefined`)
		grounds[i] = value(p, chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`))
		worst := value(p, chromedp.Evaluate[struct {
			Ratio float64 `json:"ratio"`
			Text  string  `json:"text"`
		}](worstContrast))
		if worst.Ratio < 4.5 {
			t.Errorf("%s: contrast %.2f of %s", scheme, worst.Ratio, worst.Text)
		}
		p.quiet()
	}
	if grounds[0] == grounds[1] {
		t.Errorf("the background is %s, light or dark", grounds[0])
	}
}

// untidy lists what people with a screen reader or a keyboard would stumble over.
const untidy = `(() => {
	const faults = [];
	let level = 0;
	for (const h of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
		if (!h.checkVisibility()) continue;
		if (h.nodeName[1] > level + 1) faults.push('a level is left out before the heading ' + h.textContent);
		level = Number(h.nodeName[1]);
	}
	if (document.querySelectorAll('h1').length !== 1) faults.push('there is not one h1');
	if (document.querySelectorAll('main').length !== 1 || !document.documentElement.lang) faults.push('there is no main part, or no language');
	for (const at of document.querySelectorAll('input')) if (!at.labels.length) faults.push('without a label: ' + at.id);
	for (const at of document.querySelectorAll('table')) if (!at.caption) faults.push('a table without a caption');
	for (const at of document.querySelectorAll('a')) if (at.checkVisibility() && !(at.textContent.trim() && at.href)) faults.push('a link without text or target');
	const ids = [...document.querySelectorAll('[id]')].map(at => at.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push('twice: ' + id);
	for (const at of document.querySelectorAll('[aria-labelledby]')) if (!document.getElementById(at.getAttribute('aria-labelledby'))) faults.push('named by nothing: ' + at.id);
	if (document.querySelector('#news').getAttribute('aria-live') !== 'polite') faults.push('changes are not announced');
	return faults;
})()`

func withAssistance(t *testing.T, browser context.Context) {
	reg := newRegistry(t, nil)
	made, err := reg.Route(t.Context(), caio.Request{Capabilities: []string{"code_generation"}})
	if err != nil {
		t.Fatal(err)
	}
	p := newTab(t, browser)
	p.do(chromedp.Navigate(serve(t, reg) + "#" + made.DecisionID))
	p.until(`document.querySelector('#decision').dataset.id !== undefined`)
	for _, fault := range value(p, chromedp.Evaluate[[]string](untidy)) {
		t.Error(fault)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur(); document.querySelector('.skip').focus()`), chromedp.KeyEvent("\r"))
	p.until(`location.hash === '#services'`)
	p.do(chromedp.KeyEvent("\t"))
	p.until(`document.activeElement.id === 'q' && getComputedStyle(document.activeElement).outlineStyle === 'solid'`)
}

func withoutJavaScript(t *testing.T, browser context.Context) {
	p := newTab(t, browser)
	if _, err := chromedp.Call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(serve(t, newRegistry(t, nil))))
	text := value(p, chromedp.Text(chromedp.CSS("body")))
	for _, want := range []string{"codex-bridge-001", "p95 latency ≤ 1200 ms", "code_completion ≥ 0.9", "active", "6 services", "caioctl trace"} {
		if !strings.Contains(text, want) {
			t.Errorf("without JavaScript the page does not show %q, but:\n%s", want, text)
		}
	}
	for _, not := range []string{"Try a request", "Token"} {
		if strings.Contains(text, not) {
			t.Errorf("without JavaScript the page shows %q, which does nothing then", not)
		}
	}
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "voice"), chromedp.Submit(chromedp.CSS("#filter")))
	p.do(chromedp.WaitReady(chromedp.CSS(`tr[data-id="deepgram-voice"]`)), chromedp.WaitNotPresent(chromedp.CSS(`tr[data-id="tavily-search"]`)))
	p.quiet()
}

func withToken(t *testing.T, browser context.Context) {
	const admin, service = "a-token-for-administrators", "a-token-for-services"
	p := newTab(t, browser)
	p.do(chromedp.Navigate(serve(t, newRegistry(t, &registry.Options{Tokens: []string{admin}, ServiceTokens: []string{service}}))))
	p.until(`document.querySelector('#access').checkVisibility()`)
	if strings.Contains(value(p, chromedp.OuterHTML(chromedp.CSS("html"))), "codex-bridge") {
		t.Error("the page has services that no token was sent for")
	}
	p.quiet()

	p.do(chromedp.SendKeys(chromedp.CSS("#token"), admin+"x\r"))
	p.until(`document.querySelector('#access-note').textContent.startsWith('This token is not accepted')`)
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), service+"\r"))
	p.until(`document.querySelectorAll('#rows tr').length === 6 && !document.querySelector('#access').checkVisibility()`)
	p.shows("#decisions", "role user or admin")
	p.do(chromedp.Evaluate[chromedp.Void](`sessionStorage.setItem('caio-token', '`+admin+`')`), chromedp.Reload())
	p.until(`document.querySelectorAll('#rows tr').length === 6 && document.querySelector('#ask').checkVisibility()`)
	p.until(`!location.href.includes('token')`)
	for _, fault := range p.complaints() {
		if !strings.Contains(fault, "401") {
			t.Errorf("the browser complains: %s", fault)
		}
	}
}

// A registry that was restarted has other contents; the page finds it again and shows those.
func restart(t *testing.T, browser context.Context) {
	var current atomic.Pointer[registry.Registry]
	current.Store(newRegistry(t, nil))
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reg := current.Load()
		if reg == nil {
			panic(http.ErrAbortHandler) // what a process that is gone answers
		}
		reg.ServeHTTP(w, r)
	}))
	p := newTab(t, browser)
	p.do(chromedp.Navigate(url))
	p.until(`document.querySelector('#live').textContent === 'Live'`)
	current.Store(nil)
	p.until(`document.querySelector('#live').textContent === 'No answer, trying again'`)
	p.shows("#news", "The registry does not answer.")
	next := newRegistry(t, nil)
	if err := next.Unregister(t.Context(), "translator-001"); err != nil {
		t.Fatal(err)
	}
	current.Store(next)
	p.until(`document.querySelector('#live').textContent === 'Live' && ` + row("translator-001") + ` === null`)
}
