//! Which of the references' scripts asks the questions of a benchmark (`preprocessing.md` section 6, `prompting.md`
//! section 7). The benchmark knows no model and the model no benchmark; this is where they meet.

use benchmarks::{PromptStyle, Task};
use model_adapters::Script;

/// The script behind `task` in that wording. lmms-eval loads pictures and ends answers as the script for short answers
/// does.
pub fn of(task: Task, style: PromptStyle) -> Script {
    match (style, task) {
        (PromptStyle::VlmEvalKit, _) => Script::VlmEvalKit,
        (PromptStyle::LmmsEval, _) => Script::Short,
        (PromptStyle::Paper, Task::MmVet) => Script::Open,
        (PromptStyle::Paper, Task::Mmbench) => Script::MultipleChoice,
        (PromptStyle::Paper, Task::Vqav2 | Task::Gqa | Task::Vizwiz | Task::Textvqa | Task::Pope | Task::Mme) => {
            Script::Short
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scripts with their limits of new tokens, `prompting.md` section 7.
    #[test]
    fn scripts_and_limits_are_those_of_the_papers() {
        let short = (Script::Short, 128);
        let expected = [
            (Task::Vqav2, short),
            (Task::Gqa, short),
            (Task::Vizwiz, short),
            (Task::Textvqa, short),
            (Task::Pope, short),
            (Task::Mme, short),
            (Task::Mmbench, (Script::MultipleChoice, 1024)),
            (Task::MmVet, (Script::Open, 1024)),
        ];
        assert_eq!(expected.map(|(task, _)| task), *Task::ALL);
        for (task, expected) in expected {
            let limit = benchmarks::benchmark(task).unwrap().max_new_tokens();
            assert_eq!((of(task, PromptStyle::Paper), limit), expected, "{task}");
            assert_eq!(of(task, PromptStyle::LmmsEval), Script::Short);
            assert_eq!(of(task, PromptStyle::VlmEvalKit), Script::VlmEvalKit);
        }
    }
}
