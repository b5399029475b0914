package report

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"stayput.dev/internal/whole"
	"stayput.dev/validators"
)

var screenshots = flag.String("screenshots", "", "directory to write the screenshots of docs to")

const hostile = `"><img src=x onerror=document.title='owned'></script><script>document.title='owned'</script>`

// example is a cluster with something of everything.
func example() *Report {
	r := &Report{Command: "audit", Version: "v1.0.0", Time: "2026-11-22T04:00:00Z", FailOn: validators.Deny}
	for _, rule := range validators.All {
		title, _, _ := strings.Cut(rule.Doc, "\n")
		r.Rules = append(r.Rules, Rule{Name: rule.Name, Level: rule.Level.String(), Title: title, Doc: rule.Doc})
	}
	add := func(rule, level, kind, ns, name, message, remedy string) {
		r.Add(Finding{Rule: rule, Level: level, Object: Object{"v1", kind, ns, name}, Message: message, Remedy: remedy,
			Fingerprint: rule + name})
	}
	const destroyed = "must be retained; its disk would be destroyed as soon as the claim is deleted"
	add("claim-reclaim", "warn", "PersistentVolumeClaim", "search", "data-index-0",
		`spec.volumeName: Invalid value: "pv-3": `+destroyed,
		`kubectl patch pv pv-3 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`)
	add("claim-reclaim", "warn", "PersistentVolumeClaim", "shop", "data-orders-0",
		`spec.volumeName: Invalid value: "pv-1": `+destroyed,
		`kubectl patch pv pv-1 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`)
	add("statefulset-service-missing", "warn", "StatefulSet", "search", "index",
		`spec.serviceName: Not found: "index": must exist, or no Pod has a DNS name`, "apply a headless Service of this name")
	add("statefulset-service-headless", "deny", "StatefulSet", "shop", "orders",
		`spec.serviceName: Invalid value: "orders": must name a headless Service; this one resolves to one virtual IP, not `+
			`to the Pods, and cannot be changed later`, "serviceName: orders-headless")
	add("statefulset-grace-period", "deny", "StatefulSet", "shop", "orders",
		"spec.template.spec.terminationGracePeriodSeconds: Invalid value: 0: must not be 0; each Pod is killed without a "+
			"chance to stop, and another may start while it still writes", "terminationGracePeriodSeconds: 30 or more")
	r.Skip("workload-selector-overlap", "Deployment: not known here")
	r.Errors = []Problem{{Message: "list Deployments: forbidden"}}
	gib := int64(1 << 30)
	r.Inventory = &Inventory{
		StatefulSets: []StatefulSet{{Namespace: "search", Name: "index", Replicas: 1, Service: "index",
			Unresolved: "Service index does not exist"}, {Namespace: "shop", Name: "orders", Replicas: 2, Service: "orders"}},
		Claims: []Claim{
			{"search", "data-index-0", "index", "Bound", "100Gi", 100 * gib, "fast", "pv-3", Destroyed, true, ""},
			{"shop", "data-orders-0", "orders", "Bound", "20Gi", 20 * gib, "disk", "pv-1", Destroyed, true, ""},
			{"shop", "data-orders-1", "orders", "Bound", "20Gi", 20 * gib, "disk", "pv-2", Retained, true, ""},
			{"shop", "data-reports-0", "", "Bound", "20Gi", 20 * gib, "disk", "pv-4", Retained, false, "2026-06-03T07:12:30Z"},
			{"shop", "old", "", "Pending", "5Gi", 5 * gib, "disk", "", NoData, false, ""},
		},
		Volumes: []Volume{
			{"pv-1", "Bound", "20Gi", 20 * gib, "disk", "Delete", "shop/data-orders-0"},
			{"pv-2", "Bound", "20Gi", 20 * gib, "disk", "Retain", "shop/data-orders-1"},
			{"pv-3", "Bound", "100Gi", 100 * gib, "fast", "Delete", "search/data-index-0"},
			{"pv-4", "Bound", "20Gi", 20 * gib, "disk", "Retain", "shop/data-reports-0"},
			{"pv-9", "Released", "8Gi", 8 * gib, "disk", "Retain", "gone/data-x-0"},
		},
		Owners: []Owner{{
			APIVersion: "search.example.com/v1", Kind: "Index", Namespace: "search", Name: "index",
			StatefulSets: []string{"index"}, Bytes: 100 * gib,
			Claims: []OwnedClaim{{"search", "data-index-0", "pv-3", "100Gi", 100 * gib, true, Destroyed}},
			Remedy: `kubectl patch pv pv-3 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`,
		}, {
			APIVersion: "shop.example.com/v1", Kind: "OrderDatabase", Namespace: "shop", Name: "orders",
			StatefulSets: []string{"orders"},
			Claims: []OwnedClaim{{"shop", "data-orders-0", "pv-1", "20Gi", 20 * gib, false, Destroyed},
				{"shop", "data-orders-1", "pv-2", "20Gi", 20 * gib, true, Retained}},
			Finalizers: []string{"shop.example.com/claims-first"},
		}},
		UnreadOwners: []string{"Tenant.example.com: the API server does not let you list it"},
	}
	r.Summary.Objects = 14
	r.Finish()
	return r
}

// attacked is the example with a volume that would like to write the page.
func attacked() *Report {
	r := example()
	r.Add(Finding{Rule: "volume-reclaim", Level: "warn", Object: Object{"v1", "PersistentVolume", "", hostile},
		Message: hostile, Remedy: hostile})
	return r
}

// browse opens the page in headless Chromium, which must be installed.
func browse(t *testing.T, r *Report) (ctx context.Context, complaints *[]string) {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		whole.Only(t, "Chromium")
		t.Fatal("no chromium: apt-get install chromium; the HTML report is tested in a browser")
	}
	dir := t.TempDir()
	page := filepath.Join(dir, "report.html")
	f, err := os.Create(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.HTML(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser),
		chromedp.NoSandbox,          // root has none
		chromedp.Env("TMPDIR="+dir), // where it leaves folders
		chromedp.WindowSize(1200, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	complaints = &[]string{}
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "file://") {
				*complaints = append(*complaints, "request: "+e.Request.URL)
			}
		case *log.EventEntryAdded: // what the content security policy blocks, for one
			*complaints = append(*complaints, "log: "+e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	address := url.URL{Scheme: "file", Path: page}
	do(t, ctx, chromedp.Navigate(address.String()))
	return ctx, complaints
}

func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func get[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// choose chooses an option, as a click does, and returns what is shown then.
func choose(t *testing.T, ctx context.Context, id, option string) string {
	t.Helper()
	return get(t, ctx, chromedp.Evaluate[string](fmt.Sprintf(
		`(() => { const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event("input")); return `+
			`document.getElementById("shown").textContent })()`, id, option)))
}

// TestHTMLInABrowser filters and opens a finding, as a reader does.
func TestHTMLInABrowser(t *testing.T) {
	ctx, complaints := browse(t, attacked())
	images := get(t, ctx, chromedp.Evaluate[int](`document.images.length`))
	if title := get(t, ctx, chromedp.Title()); title != "stayput audit: 2 denials, 4 warnings" || images != 0 {
		t.Errorf("title %q, %d images: a manifest has written the page", title, images)
	}
	shown := chromedp.Text(chromedp.CSS("#shown"))
	if got := get(t, ctx, shown); got != "6 of 6" {
		t.Errorf("shown %q, want 6 of 6", got)
	}
	if first := get(t, ctx, chromedp.Evaluate[string](`[...document.querySelectorAll(".finding")].map(f => `+
		`f.dataset.level).join(" ")`)); first != "deny deny warn warn warn warn" {
		t.Errorf("the findings are %s: what denies comes first", first)
	}
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#text"), "GRACE orders"))
	if got := get(t, ctx, shown); got != "1 of 6" {
		t.Errorf("filtered %q, want 1 of 6", got)
	}
	const left = ".finding:not([hidden])"
	open := chromedp.Evaluate[bool](`document.querySelector("` + left + `").open`)
	if get(t, ctx, open) {
		t.Error("a finding is open before anybody opens it")
	}
	do(t, ctx, chromedp.Click(chromedp.CSS(left+" summary")), chromedp.WaitVisible(chromedp.CSS(left+" .remedy")))
	if remedy := get(t, ctx, chromedp.Text(chromedp.CSS(left+" .remedy"))); !get(t, ctx, open) ||
		remedy != "terminationGracePeriodSeconds: 30 or more" {
		t.Errorf("the finding opens with the remedy %q", remedy)
	}
	choose(t, ctx, "text", "")
	if got := choose(t, ctx, "level", "warn"); got != "4 of 6" {
		t.Errorf("warnings: %q, want 4 of 6", got)
	}
	if got := choose(t, ctx, "rule", "claim-reclaim"); got != "2 of 6" {
		t.Errorf("warnings of claim-reclaim: %q, want 2 of 6", got)
	}
	if len(*complaints) > 0 {
		t.Errorf("the browser complains, or asks the network: %q", *complaints)
	}
}

// TestHTMLFits looks at the page as wide as a phone, in light and in dark, and
// takes the pictures of docs if asked.
func TestHTMLFits(t *testing.T) {
	for name, r := range map[string]*Report{"example": example(), "attacked": attacked()} {
		t.Run(name, func(t *testing.T) { fits(t, r, name == "example" && *screenshots != "") })
	}
}

func fits(t *testing.T, r *Report, pictures bool) {
	ctx, _ := browse(t, r)
	for _, view := range []struct {
		name, scheme string
		width        int64
		background   string
	}{
		{"report-light", "light", 1200, "rgb(247, 247, 245)"},
		{"report-dark", "dark", 1200, "rgb(20, 24, 27)"},
		{"report-phone", "light", 390, "rgb(247, 247, 245)"},
	} {
		do(t, ctx, chromedp.EmulateViewport(view.width, 900))
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme",
			Value: view.scheme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		wide := get(t, ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
		background := get(t, ctx, chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`))
		png := get(t, ctx, chromedp.FullScreenshot(100))
		const unfold = `document.querySelectorAll("details").forEach(d => { d.was = d.open; d.open = true }), ` +
			`document.documentElement.scrollWidth > innerWidth`
		const fold = `document.querySelectorAll("details").forEach(d => { d.open = d.was }), true`
		wide = get(t, ctx, chromedp.Evaluate[bool](unfold)) || wide
		get(t, ctx, chromedp.Evaluate[bool](fold))
		if wide || background != view.background {
			t.Errorf("%s: wider than the screen: %v; background %s, want %s", view.name, wide, background, view.background)
		}
		if pictures {
			if err := os.WriteFile(filepath.Join(*screenshots, view.name+".png"), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
