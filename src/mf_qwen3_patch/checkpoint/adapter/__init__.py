"""LoRA adapters, as PEFT saves them: a checkpoint seen as one into which its adapter is merged; numpy only."""
