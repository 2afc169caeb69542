/*
 * A stand-in for wevtapi.dll, for tests under Wine, whose own has no events. It has a few logs
 * that behave as Windows' do at their worst, and ends the program when a call breaks the rules: a
 * handle that is closed or of another kind, a size that is wrong, flags that don't exist.
 *
 * Structures and numbers are those of mingw-w64's winevt.h.
 *
 * What the logs are for stands beside their names, below.
 */
#define _WIN32_WINNT 0x0602
#include <windows.h>
#include <winevt.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define EXPORT __declspec(dllexport)

enum log_id {
	/* Ten records; the third has a text that no first buffer has room for. */
	APPLICATION,
	/* 600 records, from 101 on: more than one batch. */
	SYSTEM_LOG,
	/* Not for us. */
	SECURITY,
	/* Whose events say that they are of Security and have other numbers. */
	FORWARDED,
	/* No more than four records at once, and none with number 20; nor asked for one by one. */
	BIG,
	/* Loses its records up to 9 when 5 were read forwards. */
	WRAPPING,
	/* Takes its time before each batch, and tells of its records once. */
	SLOW,
	/* Has 3 records, and one more each 100 ms, up to 30. */
	GROWING,
	/* Neither backwards nor to be subscribed to, and not counted. */
	DIRECT,
	/* Whose values point out of the buffer. */
	WILD,
	/* Whose events can't be rendered as XML. */
	NO_XML,
	/* Whose events have UserData. */
	USER_DATA,
	/* Whose bookmarks are of a log that there is none of. */
	ODD,
	/* Without records. */
	EMPTY,
	LOGS
};

static const WCHAR LONG_NAME[] =
	L"Fake-Empty/" L"0123456789012345678901234567890123456789012345678901234567890123456789"
	L"0123456789012345678901234567890123456789012345678901234567890123456789"
	L"0123456789012345678901234567890123456789012345678901234567890123456789"
	L"0123456789012345678901234567890123456789012345678901234567890123456789";

static const WCHAR *const NAMES[LOGS] = {
	L"Application", L"System", L"Security", L"ForwardedEvents", L"Fake-Big", L"Fake-Wrapping",
	L"Fake-Slow", L"Fake-Growing", L"Fake-Direct", L"Fake-Wild", L"Fake-NoXml",
	L"Fake-UserData", L"Fake-Odd", LONG_NAME
};

static const GUID PROVIDER =
	{0x54849625, 0x5478, 0x4994, {0xa5, 0xba, 0x3e, 0x3b, 0x03, 0x28, 0xc3, 0x0d}};
/* S-1-5-18 */
static const BYTE USER[12] = {1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0};
/* 2026-08-22T10:00:00Z, and some. */
#define FIRST_TIME 134318664000000000ULL

enum kind { DEAD, CHANNELS, LOG, RESULTS, SUBSCRIPTION, EVENT, BOOKMARK, RENDERER };

#define ENTRIES 16
#define SELECTED 4096

struct record {
	enum log_id log;
	ULONGLONG number;
};

struct object {
	DWORD magic;
	enum kind kind;
	/* Channels: the next. */
	DWORD next;
	/* A log, an event, a context. */
	struct record record;
	/* An event: what it came from, which closes it when it is closed. */
	struct object *parent;
	DWORD context;
	/* A result set, its events and the bookmarks on them. */
	BOOL backward;
	/* A bookmark. */
	struct record entries[ENTRIES];
	DWORD count, current;
	/* A result set or a subscription. */
	struct record *records;
	DWORD selected, position;
	DWORD logs[ENTRIES], log_count;
	LONGLONG wanted_id;
	/* A subscription: what comes behind this. */
	ULONGLONG last[LOGS];
	HANDLE signal, thread;
	volatile LONG ended;
	BOOL strict, invalid_said, slow_said;
	/* What its signal has told of. */
	ULONGLONG told[LOGS];
	/* How often one record of BIG was asked for. */
	DWORD singles;
};

#define MAGIC 0x45565431

static volatile LONG open_handles;
static ULONGLONG started;
static volatile LONG has_wrapped, slow_done;

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
	(void)instance, (void)reserved;
	if (reason == DLL_PROCESS_ATTACH)
		started = GetTickCount64();
	return TRUE;
}

/* How many handles there are that were not closed. */
EXPORT LONG WINAPI FakeOpenHandles(void)
{
	return open_handles;
}

static void broken(const char *call, const char *what)
{
	fprintf(stderr, "fake wevtapi: %s: %s\n", call, what);
	fflush(stderr);
	TerminateProcess(GetCurrentProcess(), 99);
}

static BOOL fail(DWORD status)
{
	SetLastError(status);
	return FALSE;
}

static struct object *make(enum kind kind)
{
	struct object *object = calloc(1, sizeof *object);
	if (!object)
		broken("calloc", "no memory");
	object->magic = MAGIC;
	object->kind = kind;
	InterlockedIncrement(&open_handles);
	return object;
}

static struct object *use(const char *call, EVT_HANDLE handle, enum kind kind)
{
	struct object *object = handle;
	if (!object || object->magic != MAGIC)
		broken(call, "no handle");
	if (object->kind == DEAD)
		broken(call, "a closed handle");
	if (object->parent && object->parent->kind == DEAD)
		broken(call, "an event whose query or subscription was closed, and it with that");
	if (object->kind != kind)
		broken(call, "a handle of another kind");
	return object;
}

static int log_of(const WCHAR *name, size_t len)
{
	for (int log = 0; log < LOGS; log++)
		if (wcslen(NAMES[log]) == len && !_wcsnicmp(NAMES[log], name, len))
			return log;
	return -1;
}

static ULONGLONG oldest(enum log_id log)
{
	if (log == SYSTEM_LOG)
		return 101;
	return log == WRAPPING && has_wrapped ? 10 : 1;
}

static ULONGLONG newest(enum log_id log)
{
	ULONGLONG grown;
	switch (log) {
	case SYSTEM_LOG:
		return 700;
	case BIG:
		return 40;
	case WRAPPING:
		return 20;
	case GROWING:
		grown = 3 + (GetTickCount64() - started) / 100;
		return grown < 30 ? grown : 30;
	case EMPTY:
		return 0;
	default:
		return 10;
	}
}

static DWORD event_id(struct record record)
{
	return record.number % 10;
}

EXPORT BOOL WINAPI EvtClose(EVT_HANDLE handle)
{
	struct object *object = handle;
	if (!object || object->magic != MAGIC)
		broken("EvtClose", "no handle");
	if (object->kind == DEAD)
		broken("EvtClose", "a handle that was closed already");
	if (object->parent && object->parent->kind == DEAD)
		broken("EvtClose", "an event that was closed with its query or subscription");
	if (object->thread) {
		InterlockedExchange(&object->ended, 1);
		WaitForSingleObject(object->thread, INFINITE);
		CloseHandle(object->thread);
	}
	free(object->records);
	object->records = NULL;
	/* Kept, so that it is known as closed. */
	object->kind = DEAD;
	InterlockedDecrement(&open_handles);
	return TRUE;
}

EXPORT EVT_HANDLE WINAPI EvtOpenChannelEnum(EVT_HANDLE session, DWORD flags)
{
	if (session || flags)
		broken("EvtOpenChannelEnum", "a session or flags");
	return make(CHANNELS);
}

EXPORT BOOL WINAPI EvtNextChannelPath(EVT_HANDLE handle, DWORD size, LPWSTR buffer, PDWORD used)
{
	struct object *object = use("EvtNextChannelPath", handle, CHANNELS);
	if (object->next == LOGS)
		return fail(ERROR_NO_MORE_ITEMS);
	*used = wcslen(NAMES[object->next]) + 1;
	if (size < *used)
		return fail(ERROR_INSUFFICIENT_BUFFER);
	memcpy(buffer, NAMES[object->next++], *used * sizeof(WCHAR));
	return TRUE;
}

EXPORT EVT_HANDLE WINAPI EvtOpenLog(EVT_HANDLE session, LPCWSTR path, DWORD flags)
{
	if (session || flags != EvtOpenChannelPath)
		broken("EvtOpenLog", "a session or other flags");
	int log = log_of(path, wcslen(path));
	if (log < 0 || log == SECURITY) {
		fail(log < 0 ? 15007 : ERROR_ACCESS_DENIED);
		return NULL;
	}
	struct object *object = make(LOG);
	object->record.log = log;
	return object;
}

EXPORT BOOL WINAPI EvtGetLogInfo(EVT_HANDLE handle, EVT_LOG_PROPERTY_ID property, DWORD size,
	PEVT_VARIANT buffer, PDWORD used)
{
	struct object *object = use("EvtGetLogInfo", handle, LOG);
	enum log_id log = object->record.log;
	*used = sizeof *buffer;
	if (size < *used)
		return fail(ERROR_INSUFFICIENT_BUFFER);
	memset(buffer, 0, sizeof *buffer);
	buffer->Type = EvtVarTypeUInt64;
	if (log == DIRECT && property == EvtLogNumberOfLogRecords)
		buffer->Type = EvtVarTypeNull;
	else if (log == DIRECT)
		return fail(ERROR_INVALID_PARAMETER);
	else if (property == EvtLogNumberOfLogRecords)
		buffer->UInt64Val = newest(log) + 1 - oldest(log);
	else if (property == EvtLogOldestRecordNumber)
		buffer->UInt64Val = oldest(log);
	else
		broken("EvtGetLogInfo", "another property");
	return TRUE;
}

/* The logs of a path or of a structured query, and the one id that is wanted; or an error. */
static DWORD parse(struct object *object, LPCWSTR path, LPCWSTR query)
{
	const WCHAR *id = wcsstr(query, L"EventID=");
	object->wanted_id = id ? _wtoi(id + 8) : -1;
	if (object->wanted_id == 666)
		return 15001;
	for (const WCHAR *at = query; path || (at = wcsstr(at, L" Path=")) != NULL;) {
		const WCHAR *name = path ? path : at + 7;
		size_t len = path ? wcslen(path) : wcscspn(name, L"\"'");
		int log = log_of(name, len);
		if (log < 0)
			return 15007;
		if (log == SECURITY)
			return ERROR_ACCESS_DENIED;
		BOOL known = FALSE;
		for (DWORD n = 0; n < object->log_count; n++)
			known |= object->logs[n] == (DWORD)log;
		if (!known && object->log_count == ENTRIES)
			broken("EvtQuery", "more logs than the fake can take");
		if (!known)
			object->logs[object->log_count++] = log;
		if (path)
			break;
		at = name + len;
	}
	return object->log_count ? ERROR_SUCCESS : 15001;
}

static BOOL is_wanted(struct object *object, struct record record)
{
	return object->wanted_id < 0 || object->wanted_id == event_id(record);
}

EXPORT EVT_HANDLE WINAPI EvtQuery(EVT_HANDLE session, LPCWSTR path, LPCWSTR query, DWORD flags)
{
	BOOL backward = flags == (EvtQueryChannelPath | EvtQueryReverseDirection);
	if (session || (!backward && flags != (EvtQueryChannelPath | EvtQueryForwardDirection)))
		broken("EvtQuery", "a session or other flags");
	struct object *object = make(RESULTS);
	DWORD status = parse(object, path, query);
	for (DWORD n = 0; n < object->log_count; n++)
		if (object->logs[n] == DIRECT && backward)
			status = 15009;
	if (status) {
		EvtClose(object);
		fail(status);
		return NULL;
	}
	object->backward = backward;
	object->records = calloc(SELECTED, sizeof *object->records);
	for (DWORD n = 0; n < object->log_count; n++) {
		enum log_id log = object->logs[n];
		for (ULONGLONG number = oldest(log); number <= newest(log); number++) {
			struct record record = {log, number};
			if (object->selected < SELECTED && is_wanted(object, record))
				object->records[object->selected++] = record;
		}
	}
	for (DWORD n = 0; backward && n < object->selected / 2; n++) {
		struct record other = object->records[object->selected - 1 - n];
		object->records[object->selected - 1 - n] = object->records[n];
		object->records[n] = other;
	}
	return object;
}

EXPORT BOOL WINAPI EvtGetQueryInfo(EVT_HANDLE handle, EVT_QUERY_PROPERTY_ID property, DWORD size,
	PEVT_VARIANT buffer, PDWORD used)
{
	struct object *object = handle;
	use("EvtGetQueryInfo", handle, object && object->kind == SUBSCRIPTION ? SUBSCRIPTION : RESULTS);
	DWORD count = object->log_count;
	*used = sizeof *buffer + count * (property == EvtQueryNames ? sizeof(LPWSTR) : sizeof(UINT32));
	for (DWORD n = 0; property == EvtQueryNames && n < count; n++)
		*used += (wcslen(NAMES[object->logs[n]]) + 1) * sizeof(WCHAR);
	if (size < *used)
		return fail(ERROR_INSUFFICIENT_BUFFER);
	memset(buffer, 0, *used);
	buffer->Count = count;
	if (property == EvtQueryStatuses) {
		buffer->Type = EvtVarTypeUInt32 | EVT_VARIANT_TYPE_ARRAY;
		buffer->UInt32Arr = (UINT32 *)(buffer + 1);
		return TRUE;
	}
	buffer->Type = EvtVarTypeString | EVT_VARIANT_TYPE_ARRAY;
	LPWSTR *names = (LPWSTR *)(buffer + 1);
	/* mingw-w64's union has no StringArr. */
	buffer->XmlValArr = (LPCWSTR *)names;
	WCHAR *text = (WCHAR *)(names + count);
	for (DWORD n = 0; n < count; n++) {
		names[n] = text;
		wcscpy(text, NAMES[object->logs[n]]);
		text += wcslen(text) + 1;
	}
	return TRUE;
}

/* Gives some records, which costs the position whatever becomes of them. */
static BOOL give(struct object *object, struct record *records, DWORD count, EVT_HANDLE *events,
	PDWORD returned)
{
	*returned = 0;
	for (DWORD n = 0; n < count; n++)
		if (records[n].log == BIG && (count > 4 || records[n].number == 20))
			return fail(RPC_S_INVALID_BOUND);
	for (DWORD n = 0; n < count; n++) {
		struct object *event = make(EVENT);
		event->record = records[n];
		event->parent = object;
		event->backward = object->backward;
		events[n] = event;
	}
	*returned = count;
	return TRUE;
}

static void count_singles(struct object *object, enum log_id log, DWORD size)
{
	if (log == BIG && size == 1 && ++object->singles > 12)
		broken("EvtNext", "one record at a time, long after that which was too large");
}

static BOOL next_of_results(struct object *object, DWORD size, EVT_HANDLE *events, PDWORD returned)
{
	DWORD count = object->selected - object->position;
	if (!count)
		return fail(ERROR_NO_MORE_ITEMS);
	if (count > size)
		count = size;
	struct record *records = object->records + object->position;
	count_singles(object, records->log, size);
	if (records->log == SLOW && slow_done++ % 2 == 0) {
		Sleep(20);
		return fail(ERROR_TIMEOUT);
	}
	if (records->log == WRAPPING && !has_wrapped && !object->backward) {
		if (records->number > 5) {
			has_wrapped = 1;
			return fail(15011);
		}
		if (count > 5)
			count = 5;
	}
	object->position += count;
	return give(object, records, count, events, returned);
}

static BOOL next_of_subscription(struct object *object, DWORD size, EVT_HANDLE *events,
	PDWORD returned)
{
	struct record *records = calloc(size, sizeof *records);
	DWORD count = 0;
	for (DWORD n = 0; n < object->log_count; n++) {
		enum log_id log = object->logs[n];
		count_singles(object, log, size);
		if (log == SLOW && object->last[log] < newest(log)) {
			object->slow_said = !object->slow_said;
			if (object->slow_said) {
				free(records);
				return fail(ERROR_TIMEOUT);
			}
		}
		if (log == WRAPPING && !has_wrapped && object->last[log] >= 5) {
			has_wrapped = 1;
			free(records);
			return fail(15011);
		}
		while (object->last[log] < newest(log) && count < size) {
			if (log == WRAPPING && !has_wrapped && object->last[log] == 5)
				break;
			struct record record = {log, object->last[log] + 1};
			if (record.number < oldest(log))
				record.number = oldest(log);
			object->last[log] = record.number;
			if (is_wanted(object, record))
				records[count++] = record;
		}
	}
	BOOL done;
	if (count) {
		done = give(object, records, count, events, returned);
	} else {
		/* Windows has two words for it. */
		object->invalid_said = !object->invalid_said;
		done = fail(object->invalid_said ? ERROR_INVALID_OPERATION : ERROR_NO_MORE_ITEMS);
	}
	free(records);
	return done;
}

EXPORT BOOL WINAPI EvtNext(EVT_HANDLE handle, DWORD size, EVT_HANDLE *events, DWORD timeout,
	DWORD flags, PDWORD returned)
{
	struct object *object = handle;
	BOOL subscribed = object && object->kind == SUBSCRIPTION;
	use("EvtNext", handle, subscribed ? SUBSCRIPTION : RESULTS);
	if (flags || !size || size > 1024)
		broken("EvtNext", "flags, or another size");
	if (timeout == INFINITE)
		broken("EvtNext", "a wait without end");
	*returned = 0;
	return subscribed ? next_of_subscription(object, size, events, returned)
		: next_of_results(object, size, events, returned);
}

EXPORT BOOL WINAPI EvtSeek(EVT_HANDLE handle, LONGLONG position, EVT_HANDLE mark, DWORD timeout,
	DWORD flags)
{
	struct object *object = use("EvtSeek", handle, RESULTS);
	BOOL strict = (flags & EvtSeekStrict) != 0;
	LONGLONG at = 0;
	if (timeout)
		broken("EvtSeek", "a time-out, which has to be 0");
	switch (flags & ~EvtSeekStrict) {
	case EvtSeekRelativeToFirst:
		break;
	case EvtSeekRelativeToBookmark: {
		struct object *bookmark = use("EvtSeek", mark, BOOKMARK);
		struct record wanted = bookmark->entries[bookmark->current];
		if (bookmark->backward != object->backward)
			broken("EvtSeek", "a bookmark of a query in the other direction");
		BOOL found = FALSE;
		for (at = 0; at < object->selected; at++) {
			struct record record = object->records[at];
			found = record.log == wanted.log && record.number == wanted.number;
			if (found || (record.log == wanted.log
					&& (object->backward ? record.number < wanted.number : record.number > wanted.number)))
				break;
		}
		if (!found && strict)
			return fail(ERROR_NOT_FOUND);
		/* Who goes past the bounds comes to "the last record within the boundary". */
		if (!found && (wanted.number < oldest(wanted.log) || wanted.number > newest(wanted.log)))
			at = object->selected;
		break;
	}
	default:
		broken("EvtSeek", "other flags");
	}
	at += position;
	if (at < 0 || (strict && at >= object->selected))
		return fail(ERROR_NOT_FOUND);
	object->position = at < object->selected ? at : object->selected - !!object->selected;
	return TRUE;
}

EXPORT EVT_HANDLE WINAPI EvtCreateBookmark(LPCWSTR xml)
{
	struct object *object = make(BOOKMARK);
	object->backward = xml && wcsstr(xml, L"<BookmarkList Direction='backward'>") == xml;
	for (const WCHAR *at = xml; at && (at = wcsstr(at, L"Channel='")) != NULL;) {
		const WCHAR *name = at + 9;
		size_t len = wcscspn(name, L"'");
		int log = log_of(name, len);
		const WCHAR *number = wcsstr(name, L"RecordId='");
		const WCHAR *end = wcsstr(name, L">");
		if (log < 0 || !number || !end || object->count == ENTRIES)
			broken("EvtCreateBookmark", "a bookmark that is none");
		const WCHAR *current = wcsstr(name, L"IsCurrent='true'");
		if (current && current < end)
			object->current = object->count;
		struct record record = {log, _wcstoui64(number + 10, NULL, 10)};
		object->entries[object->count++] = record;
		at = end;
	}
	return object;
}

EXPORT BOOL WINAPI EvtUpdateBookmark(EVT_HANDLE handle, EVT_HANDLE event)
{
	struct object *object = use("EvtUpdateBookmark", handle, BOOKMARK);
	struct record record = use("EvtUpdateBookmark", event, EVENT)->record;
	object->backward = ((struct object *)event)->backward;
	for (object->current = 0; object->current < object->count; object->current++)
		if (object->entries[object->current].log == record.log)
			break;
	if (object->current == object->count && object->count++ == ENTRIES)
		broken("EvtUpdateBookmark", "more logs than the fake can take");
	object->entries[object->current] = record;
	return TRUE;
}

static DWORD WINAPI tick(LPVOID subscription)
{
	struct object *object = subscription;
	while (!object->ended) {
		for (DWORD n = 0; n < object->log_count; n++)
			if (object->told[object->logs[n]] < newest(object->logs[n])) {
				object->told[object->logs[n]] = newest(object->logs[n]);
				SetEvent(object->signal);
			}
		Sleep(10);
	}
	return 0;
}

EXPORT EVT_HANDLE WINAPI EvtSubscribe(EVT_HANDLE session, HANDLE signal, LPCWSTR path,
	LPCWSTR query, EVT_HANDLE mark, PVOID context, EVT_SUBSCRIBE_CALLBACK callback, DWORD flags)
{
	if (session || !signal || context || callback)
		broken("EvtSubscribe", "it is no pull subscription");
	struct object *object = make(SUBSCRIPTION);
	DWORD status = parse(object, path, query);
	object->strict = (flags & EvtSubscribeStrict) != 0;
	struct object *bookmark = NULL;
	DWORD origin = flags & ~EvtSubscribeStrict;
	if (origin == EvtSubscribeStartAfterBookmark)
		bookmark = use("EvtSubscribe", mark, BOOKMARK);
	else if (mark || (origin != EvtSubscribeToFutureEvents && origin != EvtSubscribeStartAtOldestRecord))
		broken("EvtSubscribe", "other flags, or a bookmark without need");
	for (DWORD n = 0; n < object->log_count; n++) {
		enum log_id log = object->logs[n];
		object->last[log] = origin == EvtSubscribeToFutureEvents ? newest(log) : oldest(log) - 1;
		if (log == DIRECT)
			status = 15009;
		for (DWORD m = 0; bookmark && m < bookmark->count; m++) {
			struct record record = bookmark->entries[m];
			if (record.log != log)
				continue;
			if (object->strict && (record.number < oldest(log) || record.number > newest(log)))
				status = status ? status : ERROR_NOT_FOUND;
			object->last[log] = record.number;
		}
	}
	if (status) {
		EvtClose(object);
		fail(status);
		return NULL;
	}
	memcpy(object->told, object->last, sizeof object->told);
	object->signal = signal;
	object->thread = CreateThread(NULL, 0, tick, object, 0, NULL);
	return object;
}

EXPORT EVT_HANDLE WINAPI EvtCreateRenderContext(DWORD count, LPCWSTR *paths, DWORD flags)
{
	if (count || paths || (flags != EvtRenderContextSystem && flags != EvtRenderContextUser))
		broken("EvtCreateRenderContext", "another context");
	struct object *object = make(RENDERER);
	object->context = flags;
	return object;
}

/* Writes text into a buffer, if there is room. */
static BOOL put_text(const WCHAR *text, DWORD size, PVOID buffer, PDWORD used)
{
	*used = (wcslen(text) + 1) * sizeof(WCHAR);
	if (size < *used)
		return fail(ERROR_INSUFFICIENT_BUFFER);
	memcpy(buffer, text, *used);
	return TRUE;
}

static BOOL render_bookmark(struct object *object, DWORD size, PVOID buffer, PDWORD used)
{
	static __thread WCHAR text[4096];
	int len = swprintf(text, 4096, L"<BookmarkList%ls>\r\n",
		object->backward ? L" Direction='backward'" : L"");
	for (DWORD n = 0; n < object->count; n++)
		len += swprintf(text + len, 4096 - len, L"  <Bookmark Channel='%ls' RecordId='%llu'%ls/>\r\n",
			object->entries[n].log == ODD ? L"Elsewhere" : NAMES[object->entries[n].log],
			object->entries[n].number,
			n == object->current ? L" IsCurrent='true'" : L"");
	swprintf(text + len, 4096 - len, L"</BookmarkList>");
	return put_text(text, size, buffer, used);
}

static const WCHAR *text_of(struct record record)
{
	static WCHAR large[20001];
	if (record.log == USER_DATA)
		return L"{54849625-5478-4994-A5BA-3E3B0328C30D}";
	if (record.log != APPLICATION || record.number != 3)
		return L"a & b";
	for (int n = 0; n < 20000; n++)
		large[n] = L'x';
	return large;
}

/* What an event says of itself. */
static const WCHAR *own_channel(struct record record)
{
	return NAMES[record.log == FORWARDED ? SECURITY : record.log];
}

static ULONGLONG own_number(struct record record)
{
	return record.number + (record.log == FORWARDED ? 9000 : 0);
}

static BOOL render_xml(struct record record, DWORD size, PVOID buffer, PDWORD used)
{
	static __thread WCHAR text[24000];
	if (record.log == NO_XML)
		return fail(15005);
	const WCHAR *value = text_of(record);
	int len = swprintf(text, 24000,
		L"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
		L"<Provider Name='Fake-Provider' Guid='{54849625-5478-4994-A5BA-3E3B0328C30D}'/>"
		L"<EventID>%u</EventID><Version>0</Version><Level>4</Level><Task>1</Task><Opcode>0</Opcode>"
		L"<Keywords>0x8000000000000000</Keywords>"
		L"<TimeCreated SystemTime='2026-08-22T%02u:%02u:%02u.123456700Z'/>"
		L"<EventRecordID>%llu</EventRecordID><Correlation/><Execution ProcessID='4' ThreadID='8'/>"
		L"<Channel>%ls</Channel><Computer>FAKE.example</Computer><Security UserID='S-1-5-18'/>"
		L"</System>",
		event_id(record), 10 + (unsigned)(record.number / 3600), (unsigned)(record.number / 60 % 60),
		(unsigned)(record.number % 60), own_number(record), own_channel(record));
	if (record.log == USER_DATA)
		swprintf(text + len, 24000 - len,
			L"<UserData><Fake xmlns='urn:fake'><Number>%llu</Number>"
			L"<Guid>{54849625-5478-4994-A5BA-3E3B0328C30D}</Guid>"
			L"<Text>{54849625-5478-4994-A5BA-3E3B0328C30D}</Text></Fake></UserData></Event>",
			record.number);
	else
		swprintf(text + len, 24000 - len,
			L"<EventData><Data Name='Number'>%llu</Data>"
			L"<Data Name='Guid'>{54849625-5478-4994-A5BA-3E3B0328C30D}</Data>"
			L"<Data Name='Text'>%ls</Data></EventData></Event>",
			record.number, wcscmp(value, L"a & b") ? value : L"a &amp; b");
	return put_text(text, size, buffer, used);
}

/* Puts bytes behind the values. */
static PVOID put(BYTE **place, const void *bytes, size_t len)
{
	PVOID at = *place;
	memcpy(at, bytes, len);
	*place += (len + 7) & ~(size_t)7;
	return at;
}

static BOOL render_values(struct record record, DWORD context, DWORD size, PVOID buffer,
	PDWORD used, PDWORD count)
{
	const WCHAR *text = text_of(record);
	*count = context == EvtRenderContextSystem ? EvtSystemPropertyIdEND : 3;
	*used = *count * sizeof(EVT_VARIANT) + 256 * sizeof(WCHAR) + 128
		+ (wcslen(text) + 1 + wcslen(own_channel(record)) + 1) * sizeof(WCHAR);
	if (size < *used) {
		*count = 0;
		return fail(ERROR_INSUFFICIENT_BUFFER);
	}
	/* Whatever was there before. */
	memset(buffer, 0xcc, *used);
	EVT_VARIANT *values = buffer;
	BYTE *place = (BYTE *)(values + *count);
	for (DWORD n = 0; n < *count; n++)
		values[n].Type = EvtVarTypeNull;
	if (context == EvtRenderContextUser) {
		values[0].Type = EvtVarTypeUInt64;
		values[0].UInt64Val = record.number;
		values[1].Type = EvtVarTypeGuid;
		values[1].GuidVal = put(&place, &PROVIDER, sizeof PROVIDER);
		values[2].Type = EvtVarTypeString;
		values[2].StringVal = put(&place, text, (wcslen(text) + 1) * sizeof(WCHAR));
		return TRUE;
	}
	values[EvtSystemProviderName].Type = EvtVarTypeString;
	values[EvtSystemProviderName].StringVal = put(&place, L"Fake-Provider", 14 * sizeof(WCHAR));
	values[EvtSystemProviderGuid].Type = EvtVarTypeGuid;
	values[EvtSystemProviderGuid].GuidVal = put(&place, &PROVIDER, sizeof PROVIDER);
	values[EvtSystemEventID].Type = EvtVarTypeUInt16;
	values[EvtSystemEventID].UInt16Val = event_id(record);
	values[EvtSystemLevel].Type = EvtVarTypeByte;
	values[EvtSystemLevel].ByteVal = 4;
	values[EvtSystemTask].Type = EvtVarTypeUInt16;
	values[EvtSystemTask].UInt16Val = 1;
	values[EvtSystemOpcode].Type = EvtVarTypeByte;
	values[EvtSystemOpcode].ByteVal = 0;
	values[EvtSystemKeywords].Type = EvtVarTypeHexInt64;
	values[EvtSystemKeywords].UInt64Val = 0x8000000000000000ULL;
	values[EvtSystemTimeCreated].Type = EvtVarTypeFileTime;
	values[EvtSystemTimeCreated].FileTimeVal = FIRST_TIME + record.number * 10000000 + 1234567;
	values[EvtSystemEventRecordId].Type = EvtVarTypeUInt64;
	values[EvtSystemEventRecordId].UInt64Val = own_number(record);
	values[EvtSystemProcessID].Type = EvtVarTypeUInt32;
	values[EvtSystemProcessID].UInt32Val = 4;
	values[EvtSystemThreadID].Type = EvtVarTypeUInt32;
	values[EvtSystemThreadID].UInt32Val = 8;
	const WCHAR *channel = own_channel(record);
	values[EvtSystemChannel].Type = EvtVarTypeString;
	values[EvtSystemChannel].StringVal =
		put(&place, channel, (wcslen(channel) + 1) * sizeof(WCHAR));
	values[EvtSystemComputer].Type = EvtVarTypeString;
	values[EvtSystemComputer].StringVal = put(&place, L"FAKE.example", 13 * sizeof(WCHAR));
	values[EvtSystemUserID].Type = EvtVarTypeSid;
	values[EvtSystemUserID].SidVal = put(&place, USER, sizeof USER);
	values[EvtSystemVersion].Type = EvtVarTypeByte;
	values[EvtSystemVersion].ByteVal = 0;
	if (record.log == WILD) {
		values[EvtSystemProviderName].StringVal = (LPCWSTR)0x10;
		values[EvtSystemComputer].StringVal = (LPCWSTR)((BYTE *)buffer + (1 << 20));
		values[EvtSystemUserID].SidVal = (PSID)(ULONG_PTR)-8;
		/* More than was written, and than there is room for. */
		*count = 1000000;
		*used = 0xfffffff0;
	}
	return TRUE;
}

EXPORT BOOL WINAPI EvtRender(EVT_HANDLE context, EVT_HANDLE fragment, DWORD flags, DWORD size,
	PVOID buffer, PDWORD used, PDWORD count)
{
	*count = 0;
	if ((ULONG_PTR)buffer % 8)
		broken("EvtRender", "a buffer that is not aligned");
	switch (flags) {
	case EvtRenderBookmark:
		if (context)
			broken("EvtRender", "a context for a bookmark");
		return render_bookmark(use("EvtRender", fragment, BOOKMARK), size, buffer, used);
	case EvtRenderEventXml:
		if (context)
			broken("EvtRender", "a context for XML");
		return render_xml(use("EvtRender", fragment, EVENT)->record, size, buffer, used);
	case EvtRenderEventValues:
		return render_values(use("EvtRender", fragment, EVENT)->record,
			use("EvtRender", context, RENDERER)->context, size, buffer, used, count);
	default:
		broken("EvtRender", "other flags");
		return FALSE;
	}
}
