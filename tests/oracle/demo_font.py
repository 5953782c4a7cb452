"""The letters of the demo's signs, drawn once from DejaVu Sans Bold 2.37 (fonts-dejavu-core of Debian).

Writes src/demo/font/dejavu-sans-bold.png: a cell of 36 x 36 pixels a character in the order of CHARACTERS, grey levels
are coverage, capitals stand on row 28 and are 24 pixels high.
"""

import pathlib

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=?"
CELL, BASELINE, CAPITAL = 36, 28, 24
OUT = pathlib.Path(__file__).resolve().parent.parent.parent / "src" / "demo" / "font" / "dejavu-sans-bold.png"


def main():
    size = next(n for n in range(8, 99) if -ImageFont.truetype(FONT, n).getbbox("H", anchor="ls")[1] == CAPITAL)
    font = ImageFont.truetype(FONT, size)
    sheet = Image.new("L", (CELL * len(CHARACTERS), CELL))
    draw = ImageDraw.Draw(sheet)
    for number, character in enumerate(CHARACTERS):
        left, _, right, _ = font.getbbox(character, anchor="ls")
        if right - left > CELL:
            raise SystemExit(f"{character} is {right - left} pixels wide")
        draw.text((CELL * number - left, BASELINE), character, font=font, fill=255, anchor="ls")
    sheet.save(OUT, optimize=True)


main()
