/*
 * FormatMessageW for whoever has none: reads UTF-8 lines of a message and its values, each in
 * hexadecimal digits and after a blank, and prints what comes of it in the same form, or `-` where
 * the system refuses the message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define MOST_VALUES 99
#define MOST_BYTES (1 << 17)

/* The text that hexadecimal digits are of, up to a blank or the end of the line. */
static WCHAR *text(const char *digits, const char **after)
{
	static char bytes[MOST_BYTES];
	int count = 0, length;
	unsigned value;
	WCHAR *wide;

	while (count < MOST_BYTES && sscanf(digits, "%2x", &value) == 1 &&
	       digits[0] > ' ') {
		bytes[count++] = (char)value;
		digits += 2;
	}
	*after = digits;
	length = MultiByteToWideChar(CP_UTF8, 0, bytes, count, NULL, 0);
	wide = calloc((size_t)length + 1, sizeof(WCHAR));
	if (!wide)
		exit(2);
	MultiByteToWideChar(CP_UTF8, 0, bytes, count, wide, length);
	return wide;
}

static void answer(const char *line)
{
	static WCHAR out[MOST_BYTES];
	static char bytes[4 * MOST_BYTES];
	DWORD_PTR values[MOST_VALUES] = { 0 };
	DWORD flags = FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_ARGUMENT_ARRAY;
	int count = 0, length, i;
	DWORD written;
	WCHAR *message = text(line, &line);

	while (*line == ' ' && count < MOST_VALUES)
		values[count++] = (DWORD_PTR)text(line + 1, &line);
	SetLastError(0);
	written = FormatMessageW(flags, message, 0, 0, out, MOST_BYTES,
				 (va_list *)values);
	if (!written && GetLastError())
		printf("-");
	length = WideCharToMultiByte(CP_UTF8, 0, out, (int)written, bytes,
				     (int)sizeof(bytes), NULL, NULL);
	for (i = 0; i < length; i++)
		printf("%02x", (unsigned char)bytes[i]);
	printf("\n");
	free(message);
	for (i = 0; i < count; i++)
		free((void *)values[i]);
}

int main(void)
{
	static char line[4 * MOST_BYTES];

	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
