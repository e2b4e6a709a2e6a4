/* SPDX-License-Identifier: Apache-2.0
 *
 * All that a libvirt domain inside the lab guest runs: writes the PCI
 * functions that the domain sees to its serial line, and waits to be
 * destroyed. Linux takes ten minutes to come up there, in an emulation inside
 * an emulation; this comes up with the firmware. QEMU loads it by the
 * Multiboot 1 header, as an ELF file of 32 bits.
 */

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { MAGIC = 0x1badb002, SERIAL = 0x3f8, ADDRESS = 0xcf8, DATA = 0xcfc };

__attribute__((section(".multiboot"), used, aligned(4)))
static const u32 multiboot[] = { MAGIC, 0, -MAGIC };

__attribute__((used)) static u8 stack[4096];

/* The first instruction; a compiled function needs a stack before it runs. */
__asm__(".globl _start\n"
	"_start: mov $stack + 4096, %esp\n"
	"call run\n"
	"halt: cli\nhlt\njmp halt\n");

static void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static u8 in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static u32 in32(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static u32 config(u32 bus, u32 slot, u32 function, u32 at)
{
	out32(ADDRESS, 1u << 31 | bus << 16 | slot << 11 | function << 8 | at);
	return in32(DATA);
}

static void say(const char *text)
{
	for (; *text; text++) {
		while (!(in8(SERIAL + 5) & 0x20))
			;
		out8(SERIAL, *text);
	}
}

static void say_hex(u32 value, int digits)
{
	char text[9] = { 0 };

	for (int at = digits - 1; at >= 0; at--, value >>= 4)
		text[at] = "0123456789abcdef"[value & 15];
	say(text);
}

/* One function: DOMAIN-PCI 0000:BUS:SLOT.FUNCTION VENDOR:DEVICE */
static void say_function(u32 bus, u32 slot, u32 function, u32 ids)
{
	say("DOMAIN-PCI 0000:");
	say_hex(bus, 2);
	say(":");
	say_hex(slot, 2);
	say(".");
	say_hex(function, 1);
	say(" ");
	say_hex(ids & 0xffff, 4);
	say(":");
	say_hex(ids >> 16, 4);
	say("\n");
}

/* A bus, and those behind its bridges, to which the firmware gave numbers. */
static void look_at(u32 bus)
{
	for (u32 slot = 0; slot < 32; slot++) {
		u32 functions = 1;

		for (u32 function = 0; function < functions; function++) {
			u32 ids = config(bus, slot, function, 0);
			u32 header, behind;

			if ((ids & 0xffff) == 0xffff)
				continue;
			say_function(bus, slot, function, ids);
			header = config(bus, slot, function, 0x0c) >> 16 & 0xff;
			if (header & 0x80)
				functions = 8;
			behind = config(bus, slot, function, 0x18) >> 8 & 0xff;
			if ((header & 0x7f) == 1 && behind > bus)
				look_at(behind);
		}
	}
}

__attribute__((used)) void run(void)
{
	look_at(0);
	say("DOMAIN-READY\n");
}
