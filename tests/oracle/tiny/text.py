"""The text that the vocabulary is trained on and the questions that are asked."""

QUESTIONS = [
    {
        "id": "pope-1",
        "picture": "wide-rgb.jpg",
        "question": "Is there a red circle in the image?\nAnswer the question using a single word or phrase.",
    },
    {
        "id": "pope-2",
        "picture": "grey.jpg",
        "question": "Is there a red circle in the image?\nAnswer the question using a single word or phrase.",
    },
    {
        "id": "gqa-1",
        "picture": "tall-rgba.png",
        "question": "On which side of the picture is the yellow disc?\n"
        "Answer the question using a single word or phrase.",
    },
    {
        "id": "gqa-2",
        "picture": "wide-rgb.jpg",
        "question": "What color is the bar to the right of the circle?\n"
        "Answer the question using a single word or phrase.",
    },
    {
        "id": "textvqa-1",
        "picture": "exif-rotated.jpg",
        "question": "What is the name of the café?\nReference OCR token: CAFÉ, NAÏVE, N° 42, OPEN\n"
        "Answer the question using a single word or phrase.",
    },
    {
        "id": "mmbench-1",
        "picture": "palette.png",
        "question": "The picture shows a simple scene.\nWhich shape is the largest?\nA. circle\nB. bar\nC. wave\n"
        "D. square\nAnswer with the option's letter from the given choices directly.",
    },
    {
        "id": "mmbench-cn-1",
        "picture": "palette.png",
        "question": "图中最大的形状是什么?\nA. 圆\nB. 方\n请直接回答选项字母。",
    },
    {
        "id": "mm-vet-1",
        "picture": "tall-rgba.png",
        "question": "What is x in the equation? ",
    },
]

_OBJECTS = ["circle", "square", "triangle", "bar", "cat", "dog", "car", "tree", "house", "table", "cup", "bird"]
_COLOURS = ["red", "blue", "green", "yellow", "black", "white", "orange", "purple"]

TRAINING_TEXT = [
    "A chat between a curious user and an artificial intelligence assistant.",
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    "USER: ASSISTANT: USER: ASSISTANT:",
    "Answer the question using a single word or phrase.",
    "Answer with the option's letter from the given choices directly.",
    "Reference OCR token: STOP, EXIT, CAFÉ, OPEN",
    "A. yes B. no C. left D. right",
    "Yes, there is. No, there is not.",
    "The café is naïve, the façade is déjà vu, the jalapeño costs 5 €.",
    "Größe, Übung, weiß: the señor's piñata weighs 30 kg at 25 °C.",
    "Да, это кот. Нет, это дом.",
    "日本 東京 中国 北京",
    "two  spaces,   three spaces,    four spaces",
    "What is 1 + 2 = 3? What is 40 - 56 / 7 * 89?",
    *[f"Is there a {colour} {thing} in the image?" for colour in _COLOURS for thing in _OBJECTS[:4]],
    *[f"What color is the {thing} to the left of the {other}?" for thing, other in zip(_OBJECTS, _OBJECTS[1:])],
    *[f"The {thing} is on the right side of the picture." for thing in _OBJECTS],
    *[f"Which {thing} is the largest, and what does it mean?" for thing in _OBJECTS],
]
