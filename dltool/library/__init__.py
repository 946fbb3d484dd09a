"""What a recipe may name, one public class a file."""
