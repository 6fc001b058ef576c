package api

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// description is what the test reads of openapi.json.
type description struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string                     `json:"operationId"`
		Security    *[]any                     `json:"security"`
		RequestBody json.RawMessage            `json:"requestBody"`
		Parameters  []json.RawMessage          `json:"parameters"`
		Responses   map[string]json.RawMessage `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Type       string            `json:"type"`
	Ref        string            `json:"$ref"`
	Format     string            `json:"format"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	Enum       []string          `json:"enum"`
}

func describe(t *testing.T) description {
	t.Helper()
	var d description
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || len(d.Components.Schemas) == 0 {
		t.Fatalf("version %q with %d schemas", d.OpenAPI, len(d.Components.Schemas))
	}
	return d
}

func TestOpenAPIHasTheRoutes(t *testing.T) {
	d := describe(t)
	described := map[string]bool{}
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			described[strings.ToUpper(method)+" "+path] = true
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: operationId %q", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
	for _, r := range routes {
		name := r.method + " " + r.path
		if !described[name] {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(described, name)
		op := d.Paths[r.path][strings.ToLower(r.method)]
		if r.body != (op.RequestBody != nil) || r.public != (op.Security != nil) || op.Responses["default"] == nil {
			t.Errorf("%s: body, security or responses are not as they are", name)
		}
		if parameters, _ := json.Marshal(op.Parameters); strings.Contains(r.path, "{name}") && !strings.Contains(string(parameters), `"in": "path"`) && !strings.Contains(string(parameters), `"in":"path"`) {
			t.Errorf("%s: the name is missing among %s", name, parameters)
		}
	}
	for name := range described {
		t.Errorf("%s is described, and does not exist", name)
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(string(openAPI), -1) {
		if _, known := d.Components.Schemas[ref[1]]; !known {
			t.Errorf("there is no schema %s", ref[1])
		}
	}
}

// The schemas have the fields of the types that are sent, of the same kind.
func TestOpenAPIHasTheTypes(t *testing.T) {
	d := describe(t)
	types := map[string]any{
		"Problem": Problem{}, "Version": Version{}, "Delta": Delta{}, "Interface": Interface{}, "Address": Address{}, "Finding": Finding{},
		"Place": Place{}, "Session": Session{}, "Broker": Broker{}, "Health": Health{}, "Connection": Connection{}, "Status": Status{},
		"Open": Open{}, "Sent": Sent{}, "Drawing": Drawing{}, "Ticket": Ticket{}, "Login": Login{}, "LoggedIn": LoggedIn{}, "Event": Event{},
		"Probed": Probed{}, "Why": Why{}, "WhyStep": WhyStep{}, "WhyMoment": WhyMoment{}, "Diagnosis": Diagnosis{},
		"Forward": Forward{}, "Forwarding": Forwarding{}, "ForwardState": ForwardState{}, "ForwardEvent": ForwardEvent{},
		"Relaying": Relaying{}, "Circuit": Circuit{}, "Declined": Declined{},
	}
	for name, s := range d.Components.Schemas {
		if v, known := types[name]; known {
			compare(t, name, s, reflect.TypeOf(v))
			delete(types, name)
		} else if name != "Ending" {
			t.Errorf("schema %s is no type's", name)
		}
	}
	for name := range types {
		t.Errorf("type %s has no schema", name)
	}
}

func compare(t *testing.T, at string, s schema, typ reflect.Type) {
	t.Helper()
	if s.Ref != "" {
		if want := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]; want != typ.Name() {
			t.Errorf("%s: %s, not %s", at, want, typ.Name())
		}
		return
	}
	if typ == reflect.TypeFor[time.Time]() {
		if s.Type != "string" || s.Format != "date-time" {
			t.Errorf("%s: a time is %+v", at, s)
		}
		return
	}
	kinds := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Float64: "number", reflect.Slice: "array", reflect.Struct: "object",
		reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer", reflect.Uint8: "integer"}
	if kinds[typ.Kind()] != s.Type {
		t.Errorf("%s: %q for a %v", at, s.Type, typ)
		return
	}
	switch typ.Kind() {
	case reflect.Slice:
		compare(t, at+"[]", *s.Items, typ.Elem())
	case reflect.Struct:
		seen := 0
		for k := range typ.NumField() {
			name, rest, _ := strings.Cut(typ.Field(k).Tag.Get("json"), ",")
			p, known := s.Properties[name]
			if !known {
				t.Errorf("%s.%s is not described", at, name)
				continue
			}
			seen++
			if slices.Contains(s.Required, name) == (rest == "omitempty") {
				t.Errorf("%s.%s: required and omitempty don't agree", at, name)
			}
			compare(t, at+"."+name, p, typ.Field(k).Type)
		}
		if seen != len(s.Properties) {
			t.Errorf("%s: %d properties for %d fields", at, len(s.Properties), seen)
		}
	}
}

// The limits that are written are those that are kept.
func TestOpenAPIHasTheLimits(t *testing.T) {
	for _, want := range []string{
		fmt.Sprintf(`"maximum": %d`, maxData), fmt.Sprintf(`"maximum": %d`, longestWait.Milliseconds()), fmt.Sprintf("At most %d streams", maxStreams),
		fmt.Sprintf("At most %d are held", defaultConns), fmt.Sprintf("%d events are remembered", remembered),
		fmt.Sprintf("At most %d requests at once, of %d forwards each", maxForwardings, maxForwards), fmt.Sprintf("At most %d are tried", maxWhys), fmt.Sprintf("every %.0f seconds", probeRest.Seconds()), fmt.Sprintf("%.0f minutes is closed", defaultIdle.Minutes()),
		names.String(), fmt.Sprint(TunnelLost), fmt.Sprint(TunnelShut), fmt.Sprint(TunnelMisused),
	} {
		want = strings.NewReplacer("10 minutes", "ten minutes", "10 seconds", "ten seconds").Replace(want)
		if !strings.Contains(string(openAPI), want) {
			t.Errorf("%q is not to be found", want)
		}
	}
	codes := describe(t).Components.Schemas["Problem"].Properties["code"].Enum
	for c := range statusOf {
		if !slices.Contains(codes, string(c)) {
			t.Errorf("code %s is not described", c)
		}
	}
	if len(codes) != len(statusOf) || maxData > math.MaxInt32 {
		t.Errorf("%d codes are described, of %d", len(codes), len(statusOf))
	}
}

// Every route that the guide names exists.
func TestGuideHasTheRoutes(t *testing.T) {
	b, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range regexp.MustCompile(`/v1/[a-z/{}_A-Z$]*[a-z}]`).FindAllString(string(b), -1) {
		seen++
		path = regexp.MustCompile(`/v1/connections/[^/]+`).ReplaceAllString(path, "/v1/connections/{name}")
		if !slices.ContainsFunc(routes, func(r route) bool { return r.path == path }) {
			t.Errorf("there is no %s", path)
		}
	}
	if seen < 5 {
		t.Errorf("the guide names %d routes only", seen)
	}
}
